"""One step by itself: the text of a command, the arguments and the groups of a parallel step."""
