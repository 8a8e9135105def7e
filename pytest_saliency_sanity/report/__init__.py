"""How verdicts are shown, stored and compared. It sees `verdict`; a verdict calls it when it is shown."""
