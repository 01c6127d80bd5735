"""What is answered, as types: they make the OpenAPI description and nothing else."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class Guess(BaseModel):
    """A class and its probability."""

    label: str
    probability: float = Field(ge=0, le=1)


class Neighbour(BaseModel):
    """A training image that the network sees nearly alike."""

    image: str
    label: str
    distance: float = Field(ge=0, le=2, description="1 - cosine similarity of the features")
    photo: str | None = Field(description="Path of a small picture of it, if it is still there")


class Prediction(BaseModel):
    """What is said about one image, as `topwork predict` says it."""

    image: str = Field(description="The file's name as it was sent")
    label: str | None
    probability: float | None
    abstain: bool | None = Field(description="Whether the probability is below the confidence threshold")
    out_of_distribution: bool | None = Field(description="Whether it is unlike the training images")
    distance: float | None
    error: str | None = Field(description="Why the image cannot be used; everything else is empty then")
    top: list[Guess]
    neighbours: list[Neighbour] = []


class Predictions(BaseModel):
    """One for each image, in the order in which they were sent."""

    predictions: list[Prediction]


class ClassMap(BaseModel):
    """Where one class gets its score from."""

    label: str
    values: list[list[float]] = Field(description="Over `region`, row by row; above 0 speaks for the class")
    exact: bool = Field(description="Whether the values sum up to the score, less a constant")
    method: str
    layer: str


class Explanation(BaseModel):
    """Class maps of one image, or why it cannot be used."""

    image: str
    error: str | None
    region: list[float] = Field(description="Left, top, width, height of what the network sees, as shares of the photo")
    maps: list[ClassMap]


class Model(BaseModel):
    """What answers, and what it allows."""

    name: str
    strategy: str
    model: str
    classes: list[str]
    input: dict[str, Any]
    decision: dict[str, Any]
    test: dict[str, Any] | None = Field(description="Accuracy on the test part, with its interval, if the run is there")
    data: dict[str, Any]
    licenses: dict[str, str]
    inference: dict[str, Any]
    shows_training: bool = Field(description="Whether training photographs can be shown")
    limits: dict[str, float]
    topwork: str


class Error(BaseModel):
    """Why a request was not answered."""

    error: str
