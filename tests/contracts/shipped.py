"""Which files of conf/ this repository ships. Its own rules hold for them alone: what a user adds has only to work."""

from src.config import checks

NAMES = {
    "data": """
        canvases digits fashion_mnist image_arrays image_folder image_table isbi2012 mask_folder mnist photographs
        rotated_digits text_stream tiny_shakespeare torch_dataset
    """,
    "model": """
        alexnet autoencoder cnn dcgan encoder_classifier encoder_projection fnn googlenet gpt gpt_10m gradient_boosting
        inception_v3 k_nearest_neighbours lenet logistic_regression lstm_lm most_frequent pca random_forest resnet18 resnet50
        resnet_small sparse_autoencoder unet vae vae_mixture vgg11 vgg16 vit_tiny
    """,
    "experiment": """
        alexnet anomaly_autoencoder anomaly_pca autoencoder binary cnn contrastive dcgan denoising_autoencoder
        eight_classes few_labels fnn googlenet gpt gpt_10m gradient_boosting inception_v3 k_nearest_neighbours lenet
        logistic_regression lstm_lm most_frequent multilabel pca random_forest resnet18 resnet50 resnet_small
        rotation sparse_autoencoder transfer unet vae vgg11 vgg16 vit_tiny
    """,
}


def shipped(group: str) -> list[str]:
    """The options of a group that are shipped, and are still there."""
    return [name for name in checks.options(group) if name in NAMES[group].split()]
