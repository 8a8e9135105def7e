"""Verdicts while a test runs: kept, put on its reports with properties and pictures, counted, so that none is lost."""
