"""Which files of conf/ this repository ships. Its own rules hold for them alone: what a user adds has only to work."""

import re
from importlib.util import find_spec

from src.config import checks

NAMES = {
    "data": """
        canvases digits fashion_mnist image_arrays image_folder image_table isbi2012 mask_folder mnist photographs
        rotated_digits sentence_polarity text text_stream tiny_shakespeare torch_dataset
    """,
    "model": """
        alexnet autoencoder bert_tiny cnn dcgan encoder_classifier encoder_projection fnn googlenet gpt gpt_10m
        gradient_boosting gru hugging_face inception_v3 k_nearest_neighbours lenet logistic_regression lstm lstm_lm minilm
        most_frequent naive_bayes pca random_forest resnet18 resnet50 resnet_small rnn sparse_autoencoder textcnn
        tfidf_logistic unet vae vae_mixture vgg11 vgg16 vit_tiny
    """,
    "experiment": """
        alexnet anomaly_autoencoder anomaly_pca autoencoder bert_tiny bilstm binary cnn contrastive dcgan denoising_autoencoder
        eight_classes few_labels fnn googlenet gpt gpt_10m gradient_boosting gru inception_v3 k_nearest_neighbours lenet
        logistic_regression lstm_lm minilm most_frequent multilabel naive_bayes pca random_forest resnet18 resnet50
        resnet_small rnn rotation sparse_autoencoder textcnn tfidf_logistic transfer unet vae vgg11 vgg16 vit_tiny
    """,
}


def at_hand(experiment: str) -> bool:
    """Whether the package is installed that has the pretrained model of an experiment, where it needs one."""
    text = (checks.CONF / "experiment" / f"{experiment}.yaml").read_text()
    models = re.findall(r"override /model: (\w+)", text)
    files = [checks.CONF / "model" / f"{model}.yaml" for model in models]
    packages = re.findall(r"^name: package:(\w+)", "\n".join(file.read_text() for file in files), re.MULTILINE)
    return all(find_spec(package) is not None for package in packages)


def shipped(group: str) -> list[str]:
    """The options of a group that are shipped, and are still there."""
    return [name for name in checks.options(group) if name in NAMES[group].split()]
