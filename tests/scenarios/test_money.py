"""Credit: nothing is sent that cannot be paid, nothing is paid twice, and the books say so."""

from __future__ import annotations

import pytest

from billing.ledger import InsufficientCredit
from gateway.intake import IdempotencyConflict
from tests.peers.smsc import NodeSmsc
from tests.scenarios.conftest import OpenDesk
from tests.scenarios.installation import smpp
from tests.scenarios.test_sms_delivery import ANNA, numbers
