"""Methods that look at the network itself: its weights, its units, its parts."""
