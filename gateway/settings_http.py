"""The section [http]: where the API listens, how large a request may be, and how long a connection is waited for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.settings_formats import Listen, WebUrl


class HttpSettings(BaseModel):
    """[http]: the API."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    listen: Listen = Field(default="127.0.0.1:8080", description="address and port; port 0 takes any free one")
    max_body_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1_024, le=64 * 1024 * 1024, description="largest request, attachments included"
    )
    wait_s: float = Field(
        default=30,
        ge=1,
        le=300,
        description="longest wait for the head of a request, for the next 500 bytes a second of its body, and for an answer "
        "to be taken",
    )
    idle_s: float = Field(default=75, ge=1, le=3_600, description="longest wait for the next request of a connection")
    connections_max: int = Field(
        default=1_000,
        ge=10,
        le=100_000,
        description="connections at once; beyond it those that ask for nothing go first",
    )
    public_url: WebUrl | None = Field(
        default=None,
        description="how others reach the API: the command line asks the server there, and the pages name it",
    )

    @property
    def host(self) -> str:
        """The address to listen on, an IPv6 address without its brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return int(self.listen.rpartition(":")[2])
