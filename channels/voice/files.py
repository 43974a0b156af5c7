"""Flow files: where ours are, and how one is read. What may stand in them is in `ivr.flow`."""

from __future__ import annotations

from pathlib import Path

from ivr.audio.prompts import Prompts
from ivr.flow import Flow, FlowError, parse_flow

FLOWS = Path(__file__).parents[2] / "ivr" / "flows"


def flow_at(path: Path, prompts: Prompts, kind: str) -> Flow:
    """The flow in a file. Raises FlowError with everything that is wrong, also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FlowError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise FlowError(str(path), ["expected UTF-8 text"]) from None
    flow = parse_flow(text, name=str(path), prompts=prompts.names)
    if flow.kind != kind:
        raise FlowError(str(path), [f'kind: expected "{kind}", not "{flow.kind}"'])
    return flow
