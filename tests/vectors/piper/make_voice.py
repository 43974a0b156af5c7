"""Makes the smallest voice that Piper can load: a tone as long as the text. Needs the package `onnx`; the tests do not.

Run as ``python make_voice.py`` beside its two files.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from onnx import TensorProto, checker, helper, save  # type: ignore[import-not-found]  # nothing else needs it

HERE = Path(__file__).parent
RATE_HZ = 16_000
SAMPLES_EACH = 800.0  # of every phoneme, at length_scale 1
TONE_HZ = 440


def model() -> object:
    """input [1, n], input_lengths [1], scales [noise, length, noise_w] -> output [1, 1, 1, samples]."""
    constants = {
        "zero": (TensorProto.FLOAT, [], [0.0]),
        "one": (TensorProto.FLOAT, [], [1.0]),
        "each": (TensorProto.FLOAT, [], [SAMPLES_EACH]),
        "step": (TensorProto.FLOAT, [], [2 * math.pi * TONE_HZ / RATE_HZ]),
        "loudness": (TensorProto.FLOAT, [], [0.5]),
        "at_length": (TensorProto.INT64, [], [1]),
        "first": (TensorProto.INT64, [], [0]),
        "shape": (TensorProto.INT64, [4], [1, 1, 1, -1]),
    }
    nodes = [
        helper.make_node("Gather", ["input_lengths", "first"], ["count"]),
        helper.make_node("Cast", ["count"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["scales", "at_length"], ["slower"]),
        helper.make_node("Mul", ["length", "each"], ["usual"]),
        helper.make_node("Mul", ["usual", "slower"], ["samples"]),
        helper.make_node("Range", ["zero", "samples", "one"], ["at"]),
        helper.make_node("Mul", ["at", "step"], ["angle"]),
        helper.make_node("Sin", ["angle"], ["wave"]),
        helper.make_node("Mul", ["wave", "loudness"], ["quieter"]),
        helper.make_node("Reshape", ["quieter", "shape"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tone",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
            helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "samples"])],
        [helper.make_tensor(name, *about) for name, about in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(made)
    return made


def config() -> dict[str, object]:
    """What stands beside a voice file: here the phonemes are the letters."""
    letters = "_^$ .,abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return {
        "audio": {"sample_rate": RATE_HZ},
        "espeak": {"voice": "fr"},
        "phoneme_type": "text",
        "num_symbols": len(letters),
        "num_speakers": 1,
        "inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0},
        "phoneme_id_map": {letter: [n] for n, letter in enumerate(letters)},
        "speaker_id_map": {},
    }


if __name__ == "__main__":
    save(model(), HERE / "tone.onnx")
    (HERE / "tone.onnx.json").write_text(json.dumps(config()))
