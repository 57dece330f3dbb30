"""Where the tensors of a StyleGAN2 stand in the files of each program, by the names of NVIDIA's PyTorch files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from gensr.priors.foreign.views import TensorView

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Layout:
    """The files of one program.

    Attributes:
        words: for reports.
        needed: regular expressions of names that none of them lacks.
        names: from a name of the file to ours and what is to be done with the tensor; None for what is left out.
        scaled: see `Habits.scaled`.
    """

    words: str
    needed: tuple[str, ...]
    names: Callable[[str, int], tuple[str, Change] | None]
    scaled: bool = False

    def sources(self, views: Mapping[str, TensorView]) -> dict[str, tuple[str, Change]]:
        """By our name: the name in the file, and what is done with the tensor."""
        levels = sum(bool(re.fullmatch(r"to_rgbs\.\d+\.bias", name)) for name in views)
        found: dict[str, tuple[str, Change]] = {}
        for name in views:
            said = self.names(name, levels)
            if said is not None:
                found.setdefault(said[0], (name, said[1]))
        return found


def same(tensor: Tensor) -> Tensor:
    """As it is."""
    return tensor


def first(tensor: Tensor) -> Tensor:
    """Without its first axis, of length 1."""
    return tensor[0].contiguous()


def flat(tensor: Tensor) -> Tensor:
    """One axis."""
    return tensor.reshape(-1)


def number(tensor: Tensor) -> Tensor:
    """No axis."""
    return tensor.reshape(-1)[0].clone()


def turned(tensor: Tensor) -> Tensor:
    """Rows for columns."""
    return tensor.T.contiguous()


def kernel(tensor: Tensor) -> Tensor:
    """TensorFlow's order of axes (h, w, inward, outward) to torch's."""
    return tensor.permute(3, 2, 0, 1).contiguous()


def mirrored(tensor: Tensor) -> Tensor:
    """The same for kernels that TensorFlow correlates and torch convolves."""
    return kernel(tensor).flip(2, 3).contiguous()


def one_more(tensor: Tensor) -> Tensor:
    """TensorFlow adds the 1 of a scale when it is used."""
    return tensor + 1


def _nvidia(name: str, levels: int) -> tuple[str, Change] | None:
    if name.endswith("resample_filter"):
        return "synthesis.resample_filter", same
    kept = re.fullmatch(
        r"mapping\.(fc\d+|embed)\.(weight|bias)|mapping\.w_avg|synthesis\.b\d+\.(const|skip\.weight"
        r"|(conv[01]|torgb)\.(weight|bias|noise_strength|affine\.(weight|bias)))",
        name,
    )
    return (name, same) if kept else None


_ROSINALITY: tuple[tuple[str, Change], ...] = (
    (r"conv\.weight", first),
    (r"conv\.modulation\.(weight|bias)", same),
    (r"noise\.weight", number),
    (r"activate\.bias", same),
    (r"bias", flat),
)
_TAILS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def _rosinality(name: str, levels: int) -> tuple[str, Change] | None:
    if m := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.fc{int(m[1]) - 1}.{m[2]}", same
    if name == "input.input":
        return "synthesis.b4.const", first
    if name.endswith(("blur.kernel", "upsample.kernel")):
        return "synthesis.resample_filter", same
    m = re.fullmatch(r"(conv1|to_rgb1|convs\.(\d+)|to_rgbs\.(\d+))\.(.*)", name)
    if m is None or m[4] not in _TAILS:
        return None
    if m[2] is not None:
        place = f"b{8 << int(m[2]) // 2}.conv{int(m[2]) % 2}"
    elif m[3] is not None:
        place = f"b{8 << int(m[3])}.torgb"
    else:
        place = "b4.conv1" if m[1] == "conv1" else "b4.torgb"
    change = next(c for form, c in _ROSINALITY if re.fullmatch(form, m[4]))
    return f"synthesis.{place}.{_TAILS[m[4]]}", change


_TENSORFLOW: dict[str, tuple[str, Change]] = {
    "Const/const": ("const", first),
    "Conv/weight": ("conv1.weight", kernel),
    "Conv0_up/weight": ("conv0.weight", mirrored),
    "Conv1/weight": ("conv1.weight", kernel),
    "ToRGB/weight": ("torgb.weight", kernel),
    "Skip/weight": ("skip.weight", mirrored),
}
_PLACES = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb"}
_VALUES: dict[str, tuple[str, Change]] = {
    "bias": ("bias", same),
    "noise_strength": ("noise_strength", number),
    "mod_weight": ("affine.weight", turned),
    "mod_bias": ("affine.bias", one_more),
}


def _tensorflow(name: str, levels: int) -> tuple[str, Change] | None:
    if name == "dlatent_avg":
        return "mapping.w_avg", same
    if m := re.fullmatch(r"mapping/Dense(\d+)/(weight|bias)", name):
        return f"mapping.fc{m[1]}.{m[2]}", turned if m[2] == "weight" else same
    if m := re.fullmatch(r"mapping/LabelEmbed/(weight|bias)", name):
        return f"mapping.embed.{m[1]}", turned if m[1] == "weight" else same
    m = re.fullmatch(r"synthesis/(\d+)x\1/([A-Za-z0-9_]+)/(\w+)", name)
    if m is None:
        return None
    if (said := _TENSORFLOW.get(f"{m[2]}/{m[3]}")) is not None:
        return f"synthesis.b{m[1]}.{said[0]}", said[1]
    if m[2] in _PLACES and m[3] in _VALUES:
        tail, change = _VALUES[m[3]]
        return f"synthesis.b{m[1]}.{_PLACES[m[2]]}.{tail}", change
    return None


LAYOUTS = (
    Layout(
        "StyleGAN2, NVIDIA's PyTorch names",
        (
            r"synthesis\.b4\.const",
            r"synthesis\.b4\.conv1\.affine\.weight",
            r"synthesis\.b8\.conv0\.weight",
            r"synthesis\.b\d+\.torgb\.weight",
            r"mapping\.fc0\.weight",
        ),
        _nvidia,
    ),
    Layout(
        "StyleGAN2, rosinality's names",
        (
            r"input\.input",
            r"conv1\.conv\.modulation\.weight",
            r"convs\.0\.conv\.weight",
            r"to_rgb1\.bias",
            r"style\.1\.weight",
        ),
        _rosinality,
        scaled=True,
    ),
    Layout(
        "StyleGAN2, TensorFlow's names",
        (
            r"synthesis/4x4/Const/const",
            r"synthesis/4x4/Conv/mod_weight",
            r"synthesis/8x8/Conv0_up/weight",
            r"synthesis/\d+x\d+/ToRGB/weight",
            r"mapping/Dense0/weight",
        ),
        _tensorflow,
    ),
)
"""Every program's files that are read."""


def read(layout: Layout, views: Mapping[str, TensorView]) -> dict[str, Tensor]:
    """The tensors by our names, numbers as they are in the file."""
    return {ours: change(views[theirs].read()) for ours, (theirs, change) in layout.sources(views).items()}


def label_of_tensorflow(views: Mapping[str, TensorView]) -> bool:
    """Whether a network of TensorFlow is told classes in the old way, which is not rebuilt."""
    return "mapping/LabelConcat/weight" in views
