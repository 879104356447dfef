"""The whole grid for every value of one more param, and one table of them all."""

from pathlib import Path

import typer

from pipeline.evaluation.result import Result
from pipeline.files import write_json
from pipeline.orchestration.sweep.report import to_text, write_sweep
from pipeline.orchestration.sweep.result import Value, compare
from pipeline.orchestration.sweep.runs import experiment_name, run_experiment
from pipeline.params.load import load_all_params, parse_params
from pipeline.params.schema import Params
from pipeline.params.yaml12 import YAMLError, parse_yaml
from pipeline.runtime.errors import UserError
from pipeline.tracking.execution import sweep_name

RESULTS = Path("results")


def run_sweep(choice: str) -> None:
    """Runs each value of the swept param as a DVC experiment; writes results/sweep.{json,csv,svg,md}."""
    params = choose_param(load_all_params(), choice)
    key, values = params.sweep.key, params.sweep.values
    name = sweep_name(params.model_dump())
    results: dict[Value, Result] = {}
    for number, value in enumerate(values, start=1):
        typer.echo(f"sweep: {key} {value} ({number} of {len(values)})")
        changed = {key: value, "sweep.key": key, "sweep.values": values}
        results[value] = run_experiment(experiment_name(name, value), changed)
        write_json(RESULTS / "sweep" / f"{experiment_name(key, value)}.json", results[value].model_dump())
    sweep = compare(key, results, image=1 / params.dataset.test_size)
    write_sweep(RESULTS, sweep)
    typer.echo(f"\n{to_text(sweep)}\n\nThe report: {RESULTS / 'sweep.md'}; each value: dvc exp show")


def choose_param(params: Params, choice: str) -> Params:
    """`params`, with the param to sweep that `choice` names, if it names one.

    Raises:
        UserError: neither names a param to sweep, or a value does not fit.
    """
    if not choice:
        if params.sweep.key:
            return params
        raise UserError("params.yaml: sweep.key is empty; set it, or say: synthmix sweep key=value,value")
    key, _, values = choice.partition("=")
    content = params.model_dump()
    try:
        content["sweep"] = {"key": key, "values": parse_yaml(f"[{values}]")}
    except (YAMLError, ValueError):
        raise UserError(f"sweep: {choice!r} is not key=value,value") from None
    return parse_params(content)
