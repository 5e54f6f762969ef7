"""What the unit tests of the deployment ask for too."""

from tests.unit.deploy.conftest import load

__all__ = ["load"]
