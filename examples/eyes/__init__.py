"""EEG with open and with closed eyes: reading, learning, explaining, showing."""
