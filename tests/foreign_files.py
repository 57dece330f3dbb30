"""Writes checkpoints as the programs of the world do, from a state dict: for tests of what reads them."""

import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

BUFFERS = ("resample_filter", "noise_const", "w_avg", "magnitude_ema", "up_filter", "down_filter", "transform", "freqs",
           "phases", "u")  # fmt: skip

CONTAINERS = ("enc", "dec")
"""Modules of EDM that are dictionaries of modules."""


@contextmanager
def programs():
    """Modules of NVIDIA's programs for the time of writing, so that pickle finds the names that it writes."""
    persistence, dnnlib, util = (types.ModuleType(n) for n in ("torch_utils.persistence", "dnnlib", "dnnlib.util"))
    network = types.ModuleType("dnnlib.tflib.network")

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("this would run the source text of the file")

    class EasyDict(dict):
        pass

    class Network:
        def __init__(self, state):
            self.state = state

        def __getstate__(self):
            return self.state

    _reconstruct_persistent_obj.__module__, _reconstruct_persistent_obj.__qualname__ = (
        "torch_utils.persistence",
        "_reconstruct_persistent_obj",
    )
    EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    persistence._reconstruct_persistent_obj, util.EasyDict, network.Network = (
        _reconstruct_persistent_obj,
        EasyDict,
        Network,
    )
    known = {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": dnnlib,
        "dnnlib.util": util,
        "dnnlib.tflib": types.ModuleType("dnnlib.tflib"),
        "dnnlib.tflib.network": network,
    }
    sys.modules.update(known)
    try:
        yield types.SimpleNamespace(reconstruct=_reconstruct_persistent_obj, EasyDict=EasyDict, Network=Network)
    finally:
        for name in known:
            del sys.modules[name]


class Persistent:
    """Pickles as an object of a class under NVIDIA's ``persistent_class``: class name, source text and state."""

    def __init__(self, program, class_name, state):
        self.program, self.class_name, self.state = program, class_name, state

    def __reduce__(self):
        meta = self.program.EasyDict(
            type="class",
            version=6,
            module_src="import os\nos.system('touch /tmp/never')\n" * 20,
            class_name=self.class_name,
            state=self.state,
        )
        return self.program.reconstruct, (meta,)


def tree(program, tensors, class_name="Generator", kwargs=(), **attributes):
    """The persistent objects of a network with these tensors, nested as its names are."""
    state = {
        "training": False,
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict(),
        "_init_args": (),
        "_init_kwargs": program.EasyDict(kwargs),
        **attributes,
    }
    inner = OrderedDict()
    for name, tensor in tensors.items():
        head, dot, rest = name.partition(".")
        if dot:
            inner.setdefault(head, OrderedDict())[rest] = tensor
        elif head in BUFFERS:
            state["_buffers"][head] = tensor
        else:
            state["_parameters"][head] = nn.Parameter(tensor, tensor.is_floating_point())
    for name, part in inner.items():
        if name in CONTAINERS:
            state["_modules"][name] = nn.ModuleDict()
            made = {k: tree(program, v, "UNetBlock") for k, v in levels(part).items()}
            state["_modules"][name]._modules.update(made)  # a class of torch itself, pickled as such
        else:
            state["_modules"][name] = tree(program, part, name.capitalize())
    return Persistent(program, class_name, state)


def levels(tensors):
    """Tensors by the first part of their names."""
    found = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        found.setdefault(head, {})[rest] = tensor
    return found


def nvidia(path, tensors, kwargs, protocol=None, **attributes):
    """A snapshot of StyleGAN2-ADA or StyleGAN3."""
    with programs() as program:
        said = {
            "G": tree(program, {k: t + 1 for k, t in tensors.items()}, kwargs=kwargs),
            "D": tree(program, {"b4.weight": torch.ones(2)}, "DiscriminatorOfNobody"),
            "G_ema": tree(program, tensors, kwargs=kwargs, **attributes),
            "augment_pipe": tree(program, {"Hz_geom": torch.ones(3)}, "AugmentPipe"),
            "training_set_kwargs": program.EasyDict(path="data.zip", class_name="training.dataset.ImageFolderDataset"),
        }
        path.write_bytes(pickle.dumps(said, protocol))
    return path


def edm(path, tensors, kwargs, class_name="EDMPrecond", protocol=None, **attributes):
    """A snapshot of EDM: the averaged network, what else its training needed, and the data set."""
    with programs() as program:
        said = {
            "ema": tree(program, tensors, class_name, kwargs, **attributes),
            "loss_fn": Persistent(program, "EDMLoss", {"P_mean": -1.2, "P_std": 1.2, "sigma_data": 0.5}),
            "augment_pipe": Persistent(program, "AugmentPipe", {"p": 0.12, "xflip": 1e8}),
            "dataset_kwargs": program.EasyDict(path="faces.zip", class_name="training.dataset.ImageFolderDataset"),
        }
        path.write_bytes(pickle.dumps(said, protocol))
    return path


def tensorflow(path, variables, static_kwargs=(), top=()):
    """The tuple ``(G, D, Gs)`` of TensorFlow's time; variables by ``component/name``."""
    with programs() as program:

        def net(pairs, components=()):
            state = {
                "version": 4,
                "name": "G",
                "static_kwargs": program.EasyDict(static_kwargs),
                "components": program.EasyDict(components),
                "build_module_src": "raise SystemExit('run')",
                "build_func_name": "G_main",
                "variables": [(name, np.asarray(value)) for name, value in pairs],
            }
            return program.Network(state)

        def whole(shift):
            parts = {}
            for name, value in variables.items():
                head, _, rest = name.partition("/")
                parts.setdefault(head, []).append((rest, value + shift))
            return net(dict(top).items(), {k: net(v) for k, v in parts.items()})

        path.write_bytes(pickle.dumps((whole(1), net([("4x4/w", np.ones(2, np.float32))]), whole(0)), 3))
    return path
