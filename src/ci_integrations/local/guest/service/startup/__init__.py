"""Files that a kernel runs when it starts, in the namespace of user's code. They are copied, and never imported."""
