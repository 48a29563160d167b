"""The split that training and evaluation must agree on, hence one file for both (`inputs:` in their task.yaml)."""

from sklearn.datasets import load_digits


def load():
    """((train images, train labels), (test images, test labels)); pixels from 0 to 1.

    The last fifth is the test set, in the order of the file: mostly by writers that the training part does not have.
    """
    images, labels = load_digits(return_X_y=True)
    images = images / 16.0
    cut = len(labels) * 4 // 5
    return (images[:cut], labels[:cut]), (images[cut:], labels[cut:])
