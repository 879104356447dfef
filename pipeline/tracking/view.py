"""The chart views of an experiment: accuracy against synthetic_percent, of one execution and of all.

MLflow's page reads them from experiment tags whose format is its own; a version that reads them otherwise shows
its plain list of runs.
"""

import json
from typing import Any

from pipeline.tracking.execution import Execution
from pipeline.tracking.store import CURVE, Parent

ONE, ALL = "bypercent", "executions"  # names of the views
AXIS, SCORE = "synthetic_percent", "test_accuracy"
RAW = {"xAxisKey": "step", "useGlobalXaxisKey": False, "lineSmoothness": 0, "useGlobalLineSmoothing": False}
SECTION = {"uuid": "cells", "name": "Step of the first chart: synthetic_percent", "display": True, "cardHeight": 360}


def pin_views(parent: Parent) -> None:
    """Points the experiment's view ONE at this execution, or at all of its sweep; ALL overlays every execution."""
    for name, state in ((ONE, _one(parent.execution)), (ALL, _all())):
        tag = f"mlflow.sharedViewState.{name}"
        parent.client.set_experiment_tag(parent.experiment.id, tag, json.dumps(state))


def view_url(server: str, experiment_id: str, name: str = ONE) -> str:
    """Address that opens the view on `server`."""
    mode = "workflowType=machine_learning"
    page = f"experiments/{experiment_id}/runs?viewStateShareKey={name}&compareRunsMode=CHART&{mode}"
    return f"{server.rstrip('/')}/?{mode}#/{page}"


def _one(execution: Execution) -> dict[str, Any]:
    """Cells of the ablation, grouped by percent and a sweep's value."""
    groups = [{"mode": "param", "groupByData": AXIS}]
    shown = f"tags.`pipeline.execution` = '{execution.name}'"
    if execution.sweep:
        groups.append({"mode": "tag", "groupByData": "pipeline.axis_value"})
        shown = f"tags.`pipeline.orchestration.sweep` = '{execution.sweep}'"
    return _state(
        f"{shown} and tags.`pipeline.curve` = 'ablation'",
        [f"params.`{AXIS}`", "params.`seed`", f"metrics.`{SCORE}`"],
        [
            _line(*CURVE),  # of the parent, whose steps are percents
            _scatter(AXIS, SCORE),
            _line("val_accuracy"),
            _line("train_loss"),
        ],
    ) | {"groupBy": {"aggregateFunction": "average", "groupByKeys": groups}, "useGroupedValuesInCharts": True}


def _all() -> dict[str, Any]:
    """The parents, one line each."""
    columns = [
        "params.`gan.recipe`",
        "params.`ablation.mode`",
        "tags.`profile`",
        "metrics.`chosen_percent`",
        "metrics.`chosen_difference_mean`",
        "metrics.`chosen_p_value_holm`",
        "metrics.`worth_num_real_extra`",
    ]
    return _state("tags.`pipeline.role` = 'parent'", columns, [_line(CURVE[0])]) | {"groupBy": None}


def _state(search: str, columns: list[str], charts: list[dict[str, Any]]) -> dict[str, Any]:
    """The page's state."""
    return {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [SECTION | {"columns": min(len(charts), 2)}],
        "compareRunCharts": charts,
    }


def _line(*metrics: str) -> dict[str, Any]:
    return _chart("LINE", metrics[0]) | RAW | {"metricKey": metrics[0], "selectedMetricKeys": metrics}


def _scatter(param: str, metric: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": param, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return _chart("SCATTER", metric) | axes


def _chart(kind: str, name: str) -> dict[str, Any]:
    return {"type": kind, "uuid": name, "metricSectionId": SECTION["uuid"], "runsCountToCompare": 100}
