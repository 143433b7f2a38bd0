"""Reasons to skip a test that more than one file has."""
import pytest

from .engine import SANITIZED

# AddressSanitizer keeps what is freed, and maps terabytes.
memory_bound = pytest.mark.skipif(SANITIZED, reason="bounds of memory are not the sanitizers'")
