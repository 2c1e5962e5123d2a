"""Fine-tuning of an encoder with one head over all labels: prototypes made of their documents and names."""
