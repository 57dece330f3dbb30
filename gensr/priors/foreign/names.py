"""Which globals a pickle may mention: what has a meaning for weights, and classes that stay names; never code."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

PYTHON2 = frozenset(
    [
        "__builtin__",
        "copy_reg",
        "commands",
        "popen2",
        "cPickle",
        "cStringIO",
        "StringIO",
        "exceptions",
        "urllib2",
        "httplib",
        "os2",
        "posix",
        "nt",
        "new",
        "imp",
        "thread",
        "dummy_thread",
        "compiler",
        "user",
        "rexec",
        "sets",
        "UserDict",
    ]
)
"""Modules of the standard library that only Python 2, or another system, has."""
TOOLS = frozenset(
    [
        "pip",
        "setuptools",
        "pkg_resources",
        "distutils",
        "_distutils_hack",
        "wheel",
        "IPython",
        "ipykernel",
        "jupyter",
        "joblib",
        "cloudpickle",
        "dill",
        "numpy",
        "pandas",
        "scipy",
        "torch",
        "torchvision",
        "torchaudio",
        "sklearn",
        "tensorflow",
        "jax",
        "keras",
        "flax",
        "onnx",
        "onnxruntime",
        "requests",
        "urllib3",
        "fsspec",
        "pytest",
        "py",
        "nose",
        "hydra",
        "omegaconf",
        "yaml",
        "jinja2",
        "numexpr",
        "sympy",
        "numba",
        "cffi",
        "pexpect",
        "paramiko",
        "fabric",
        "invoke",
        "sh",
        "plumbum",
        "psutil",
        "gensr",
    ]
)
"""Packages that hold functions which run code: of these, only the names below."""
DATA: Mapping[str, frozenset[str]] = {
    "argparse": frozenset({"Namespace"}),
    "types": frozenset({"SimpleNamespace"}),
    "collections": frozenset({"OrderedDict", "defaultdict", "Counter", "deque"}),
    "pathlib": frozenset({"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"}),
    "pathlib._local": frozenset({"PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"}),
    "datetime": frozenset({"datetime", "date", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "uuid": frozenset({"UUID"}),
    "enum": frozenset({"Enum", "IntEnum", "StrEnum"}),
    "typing": frozenset({"Any", "Union", "Optional", "List", "Dict", "Tuple"}),
    "builtins": frozenset({"set", "frozenset", "complex", "slice", "range", "bytearray", "object", "list", "dict",
                           "tuple", "int", "float", "str", "bool", "bytes", "Ellipsis", "NotImplemented"}),
    "__builtin__": frozenset({"set", "frozenset", "complex", "slice", "xrange", "bytearray", "object", "list", "dict",
                              "tuple", "int", "float", "str", "unicode", "long", "bool"}),
    "_codecs": frozenset({"encode"}),
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "numpy": frozenset({"ndarray", "dtype", "bool_", "int32", "int64", "float16", "float32", "float64", "uint8"}),
    "numpy.dtypes": frozenset({f"{n}DType" for n in ("Float16", "Float32", "Float64", "Int8", "Int16", "Int32",
                                                     "Int64", "UInt8", "Bool")}),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.core.numeric": frozenset({"_frombuffer"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.random": frozenset({"RandomState", "Generator"}),
    "numpy.random._pickle": frozenset({"__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"}),
    "numpy.random._mt19937": frozenset({"MT19937"}),
    "numpy.random._pcg64": frozenset({"PCG64"}),
    "dill._dill": frozenset({"_load_type"}),
    "omegaconf.dictconfig": frozenset({"DictConfig"}),
    "omegaconf.listconfig": frozenset({"ListConfig"}),
    "omegaconf.base": frozenset({"Metadata", "ContainerMetadata"}),
    "omegaconf.nodes": frozenset({"AnyNode", "StringNode", "IntegerNode", "FloatNode", "BooleanNode", "PathNode"}),
    "torch": frozenset({"Size", "device", "dtype", "Tensor", "FloatTensor", "LongTensor",
                        *(f"{n}Storage" for n in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short",
                                                  "Char", "Byte", "Bool", "ComplexFloat", "ComplexDouble", "Untyped",
                                                  "Typed")),
                        *(f"{n}{b}" for n, b in (("float", 16), ("float", 32), ("float", 64), ("int", 8), ("int", 16),
                                                 ("int", 32), ("int", 64), ("uint", 8), ("complex", 64))),
                        "bfloat16", "bool", "half", "double", "long", "strided", "contiguous_format",
                        "channels_last", "preserve_format"}),
    "torch._utils": frozenset({"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter",
                               "_rebuild_parameter_with_state"}),
    "torch._tensor": frozenset({"_rebuild_from_type_v2"}),
    "torch.storage": frozenset({"_load_from_bytes", "UntypedStorage", "TypedStorage", "_UntypedStorage",
                                "_TypedStorage"}),
    "torch.nn.parameter": frozenset({"Parameter", "Buffer", "UninitializedParameter"}),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.nn.functional": frozenset({"relu", "leaky_relu", "gelu", "silu", "softplus", "elu", "interpolate"}),
    "torch._C._nn": frozenset({"gelu", "silu", "softplus", "elu", "leaky_relu"}),
}  # fmt: skip
"""Names of the standard library and of `TOOLS` that may be mentioned, by module."""
CLASSES = re.compile(r"torch\.(nn|optim)(\.[A-Za-z_][A-Za-z0-9_]*)*\.[A-Z][A-Za-z0-9_]*")
"""Networks and optimisers of PyTorch: names of what their state belongs to."""
CALLED = frozenset(
    {
        *(f"pathlib.{n}" for n in DATA["pathlib"]),
        *(f"pathlib._local.{n}" for n in DATA["pathlib._local"]),
        *(f"datetime.{n}" for n in DATA["datetime"]),
        *(f"numpy.random._pickle.{n}" for n in DATA["numpy.random._pickle"]),
        *("decimal.Decimal", "fractions.Fraction", "uuid.UUID", "torch.device", "dill._dill._load_type"),
        *("collections.defaultdict", "collections.Counter", "collections.deque", "argparse.Namespace"),
        *("torch.serialization._get_layout", "omegaconf.dictconfig.DictConfig"),
        *(f"{b}.{n}" for b in ("builtins", "__builtin__") for n in ("complex", "slice", "range", "xrange", "object")),
    }
)
"""What may stand with arguments and stays inert; everything else that may be called has a meaning of its own."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def objection(module: str, name: str) -> str:
    """Why a global may not be mentioned, or "": code of the standard library and of packages that can run code.

    A class of a package that is not among `TOOLS` is let through as a name: training snapshots are full of classes that
    nobody has installed, and nothing is imported or called in either case.
    """
    if module in DATA and name in DATA[module]:
        return ""
    if CLASSES.fullmatch(f"{module}.{name}"):
        return ""
    parts = [*module.split("."), *name.split(".")]
    if len(parts) > 32 or not all(_IDENTIFIER.fullmatch(part) for part in parts):
        return "is no name of Python"
    top = parts[0]
    if top in sys.stdlib_module_names or top in PYTHON2:
        return "belongs to Python itself and could run code"
    if top in TOOLS:
        return "can run code"
    if any(p in sys.stdlib_module_names or (p.startswith("__") and p != "__main__") for p in name.split(".")[:-1]):
        return "reaches through a module to another"
    if name.split(".")[-1].startswith("__"):
        return "reaches into the machinery of Python"
    return ""
