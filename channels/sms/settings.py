"""The settings of an SMS provider that speaks SMPP 3.4, with their bounds. Nothing is connected here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from channels.certificates import Authorities
from channels.hosts import HostAlone
from channels.sms.address import source_address
from channels.sms.encoding import Alphabet, Concatenating
from channels.sms.smpp.receipt import IdRule


def _country(value: str) -> str:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError('expected an ISO 3166 country code such as "FR"')
    return value


Country = Annotated[str, AfterValidator(_country)]
BindModeName = Literal["transceiver", "transmitter_receiver", "transmitter", "receiver"]
"""How sessions are bound: one for both directions, a pair, or one direction only."""
TON_MAX, NPI_MAX = 6, 18
"""The largest type of number and numbering plan that SMPP 3.4 names (sections 5.2.5 and 5.2.6)."""


class SmppSettings(BaseModel):
    """One `[[providers]]` table with `channel = "sms"` and `kind = "smpp"`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(min_length=1, max_length=64, description="The provider's name, as routes and reports name it.")
    channel: Literal["sms"] = "sms"
    kind: Literal["smpp"] = "smpp"

    host: HostAlone = Field(min_length=1, max_length=253, description="Name or address of the SMSC.")
    port: int = Field(default=2775, ge=1, le=65535, description="Its TCP port; often 3550 with TLS.")
    tls: bool = Field(default=False, description="Speak TLS from the first byte, and verify the certificate.")
    tls_ca: Authorities | None = Field(
        default=None, description="PEM file of the authorities to trust instead of the system's."
    )
    tls_verify: bool = Field(
        default=True, description="Verify certificate and host name. Without, anybody on the way can read and change."
    )

    system_id: str = Field(max_length=64, description="The name to bind with; 15 characters in the specification.")
    password: SecretStr = Field(
        max_length=64, description="8 characters in the specification, more with many providers."
    )
    system_type: str = Field(default="", max_length=12, description="Only where the provider asks for one.")
    address_range: str = Field(default="", max_length=40, description="The addresses a receiver serves; mostly empty.")
    bind_mode: BindModeName = Field(
        default="transceiver", description="One session for both directions, a pair, or one direction only."
    )
    binds: int = Field(default=1, ge=1, le=32, description="How many sessions, or pairs, are kept at once.")

    source: str = Field(
        default="",
        max_length=21,
        description="The sender shown: +number, short code, other digits, or name; empty: the SMSC's own.",
    )
    source_ton: int | None = Field(
        default=None, ge=0, le=TON_MAX, description="Type of number of the sender; None: what is usual for its kind."
    )
    source_npi: int | None = Field(
        default=None, ge=0, le=NPI_MAX, description="Numbering plan of the sender; None: what is usual for its kind."
    )
    destination_ton: int | None = Field(
        default=None,
        ge=0,
        le=TON_MAX,
        description="Type of number of every recipient; None: what is usual for its kind.",
    )
    destination_npi: int | None = Field(
        default=None,
        ge=0,
        le=NPI_MAX,
        description="Numbering plan of every recipient; None: what is usual for its kind.",
    )
    bind_ton: int = Field(default=0, ge=0, le=TON_MAX, description="Type of number of address_range in the bind.")
    bind_npi: int = Field(default=0, ge=0, le=NPI_MAX, description="Numbering plan of address_range in the bind.")
    service_type: str = Field(default="", max_length=5, description="Only where the provider asks for one.")
    default_region: Country | None = Field(
        default=None, description="ISO 3166 code of the country whose national numbers are taken."
    )
    registered_delivery: bool = Field(default=True, description="Ask for delivery receipts.")
    validity_s: int | None = Field(
        default=None, ge=60, le=30 * 86_400, description="How long the SMSC may try; None leaves it to the SMSC."
    )
    id_rule: IdRule = Field(
        default=IdRule.ANY, description="How the ids of receipts relate to those of answers; any: all forms are tried."
    )
    unmarked_receipts: bool = Field(
        default=False,
        description="Also read messages in the form of a receipt as one, where they name a text of ours to that number.",
    )

    concatenation: Concatenating = Field(
        default="udh", description="How long texts travel: udh, sar (TLVs) or payload (one submit, the SMSC cuts)."
    )
    reference_octets: Literal[1, 2] = Field(default=1, description="Size of the concatenation reference.")
    default_alphabet: Alphabet = Field(
        default=Alphabet.GSM7, description="What the SMSC takes data_coding 0 for; texts beyond it go as UCS-2."
    )
    fold_lookalikes: bool = Field(
        default=False, description="Replace curly quotes, dashes and the like where that saves parts."
    )

    window: int = Field(default=100, ge=1, le=10_000, description="Most unanswered messages per session.")
    rate_per_s: float | None = Field(
        default=None, gt=0, le=100_000, description="Most messages a second over all sessions; None: as they come."
    )
    connect_s: float = Field(default=10.0, gt=0, le=60, description="How long connecting and binding may take, each.")
    response_s: float = Field(default=30.0, gt=0, le=300, description="How long an answer is waited for.")
    enquire_link_s: float = Field(
        default=30.0, gt=0, le=3600, description="After this much silence the SMSC is asked whether it is there."
    )
    enquire_answer_s: float = Field(default=10.0, gt=0, le=300, description="And the link is lost after so much more.")
    link_wait_s: float = Field(default=2.0, ge=0, le=60, description="How long a message waits for a link to come up.")
    unbind_wait_s: float = Field(
        default=10.0, ge=0, le=120, description="How long a stop waits for outstanding answers before it unbinds."
    )

    @field_validator("source")
    @classmethod
    def _source_can_be_sent(cls, source: str) -> str:
        source_address(source)
        return source

    @field_validator("system_id", "system_type", "address_range", "service_type")
    @classmethod
    def _is_ascii(cls, text: str) -> str:
        if not (text.isascii() and text.isprintable()):
            raise ValueError("expected printable ASCII characters")
        return text

    @field_validator("password")
    @classmethod
    def _password_is_ascii(cls, password: SecretStr) -> SecretStr:
        if not (password.get_secret_value().isascii() and password.get_secret_value().isprintable()):
            raise ValueError("expected printable ASCII characters")
        return password

    @model_validator(mode="after")
    def _tls_keys_need_tls(self) -> Self:
        if not self.tls and (self.tls_ca is not None or not self.tls_verify):
            raise ValueError("tls_ca and tls_verify have a meaning only with tls = true")
        return self

    @property
    def sends(self) -> bool:
        """Whether any session may carry messages out."""
        return self.bind_mode != "receiver"

    @property
    def receives(self) -> bool:
        """Whether any session brings receipts and inbound messages."""
        return self.bind_mode != "transmitter"
