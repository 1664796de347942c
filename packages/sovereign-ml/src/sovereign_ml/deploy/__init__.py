"""Ship the service: stage a folder, check it, send it to sota.io or describe it for KServe."""


class DeployError(Exception):
    """A deployment that must not or did not succeed: one line, or a line and the end of the build log."""
