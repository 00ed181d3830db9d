"""The same generations in the words of one provider's clients."""
