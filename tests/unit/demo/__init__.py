"""Tests of services.demo."""
