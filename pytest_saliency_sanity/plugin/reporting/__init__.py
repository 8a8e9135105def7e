"""What a run makes of all its verdicts, where they arrive: lines on the terminal, files, the gate of a baseline."""
