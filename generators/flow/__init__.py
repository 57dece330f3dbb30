"""The flow family: rectified flow with a small U-Net that knows the data, the default prior of every domain."""

from .family import FAMILY
from .generator import Flow

__all__ = ["FAMILY", "Flow"]
