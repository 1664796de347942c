"""Ship the service: stage a folder, check it, send it to sota.io or describe it for KServe."""


class DeployError(Exception):
    """A failed or refused deployment, in one line, perhaps followed by the end of the build log."""
