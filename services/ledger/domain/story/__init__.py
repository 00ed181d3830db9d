"""What events say, in words: a sentence for each type, and a story for what one cause led to."""
