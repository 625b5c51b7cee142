"""Words of film reviews: people's judgement of them, what networks make of them, deleting them, showing them."""
