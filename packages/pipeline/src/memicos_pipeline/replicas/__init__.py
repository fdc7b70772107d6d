"""Replicas of a language model on own GPUs: vLLM servers as actors of Ray, behind one provider."""
