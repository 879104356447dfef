"""What a stage writes to its companion process, one JSON line each: one start, any publish, one end."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Status = Literal["FINISHED", "FAILED", "KILLED"]


class _Base(BaseModel):
    """Times are in ms since 1970, MLflow's unit."""

    model_config = ConfigDict(frozen=True)

    time: int


class Start(_Base):
    """A stage begins; see `tracked_run`. `upstream` are md5 of outs that dvc.lock may not have yet, by path."""

    do: Literal["start"] = "start"
    stage: str
    cell: dict[str, int | str]
    paths: dict[str, Path]
    upstream: dict[Path, str]


class Publish(_Base):
    """The stage's files have grown."""

    do: Literal["publish"] = "publish"


class End(_Base):
    """The stage has ended; `tags` say where it computed, `usage` what it took."""

    do: Literal["end"] = "end"
    status: Status
    tags: dict[str, str]
    usage: dict[str, float]


Message = Start | Publish | End
_ADAPTER: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


def encode(message: Message) -> bytes:
    """The message as a line."""
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message in a line."""
    return _ADAPTER.validate_json(line)
