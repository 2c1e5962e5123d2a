"""Fine-tuning of an encoder, level by level down a tree of clusters, and the linear levels on its vectors."""
