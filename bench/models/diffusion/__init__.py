"""Base models: loading, sampling, batches, attention, fine-tuning."""
