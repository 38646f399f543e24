"""`ShutDown` of the module `queue`, which Python has since 3.13."""

import sys

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """Raised when put or get meets a queue that is shut down."""


__all__ = ["ShutDown"]
