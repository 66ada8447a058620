"""Tests of relive; a package so that its helpers (`tests.live`, `tests.case`) can be imported."""
