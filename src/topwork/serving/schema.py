"""Types of the responses, for the OpenAPI description only."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class Neighbour(BaseModel):
    """A similar training image."""

    image: str
    label: str
    distance: float = Field(ge=0, le=2, description="1 - cosine similarity of the features")
    thumbnail_url: str | None = Field(description="URL path of its thumbnail, if it is available")


class Prediction(BaseModel):
    """The prediction for one image, with the fields of `topwork predict`."""

    image: str = Field(description="The file's name as it was sent")
    label: str | None
    probability: float | None
    abstain: bool | None = Field(description="Whether the probability is below the confidence threshold")
    out_of_distribution: bool | None = Field(description="Whether it is unlike the training images")
    distance: float | None
    error: str | None = Field(description="Reason why the image cannot be used; the other fields are then empty")
    top: list[ClassProbability]
    neighbours: list[Neighbour] = []


class Predictions(BaseModel):
    """One prediction per image, in the order of the request."""

    predictions: list[Prediction]


class ClassMap(BaseModel):
    """Class activation map of one class."""

    label: str
    values: list[list[float]] = Field(description="Over `region`, row by row; positive values raise the score")
    exact: bool = Field(description="Whether the values add up to the score, less a constant")
    method: str
    layer: str


class Explanation(BaseModel):
    """Class activation maps of one image, or the reason why it cannot be used."""

    image: str
    error: str | None
    region: list[float] = Field(description="Left, top, width, height of the network's view, as shares of the image")
    maps: list[ClassMap]


class Model(BaseModel):
    """Model information and limits."""

    name: str
    strategy: str
    model: str
    classes: list[str]
    input: dict[str, Any]
    decision: dict[str, Any]
    test: dict[str, Any] | None = Field(description="Accuracy on the test set, with its interval, if available")
    data: dict[str, Any]
    licenses: dict[str, str]
    inference: dict[str, Any]
    has_training_thumbnails: bool = Field(description="Whether thumbnails of training images are available")
    limits: dict[str, float]
    topwork: str


class Error(BaseModel):
    """Reason for a rejection."""

    error: str
