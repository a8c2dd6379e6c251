"""`recnas export`: a model of a run, for production."""

from __future__ import annotations

import argparse
from pathlib import Path

from recnas.cli.base import Command, add_code_flag
from recnas.tracking import check_trackers
from recnas.util.errors import InputError


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder, or an exported model's")
    parser.add_argument("--output", type=Path, required=True, help="the model's folder")
    parser.add_argument(
        "--model",
        metavar="ID",
        help="another model that the run trained: a searched one's id, a baseline such as dlrm, or a member of the "
        "ensemble (default: the ensemble, or where there is none the best on validation, whichever that is)",
    )
    parser.add_argument("--single", action="store_true", help="the best model, where there is an ensemble, too")
    parser.add_argument(
        "--format",
        nargs="+",
        action="extend",
        default=[],
        choices=("onnx", "torchrec"),
        help="written besides the torch.export program: ONNX (needs the extra recnas[onnx]); plain TorchRec code to "
        "train and serve without recnas",
    )
    parser.add_argument("--quantize", choices=("int8",), help="round the embedding tables, and measure what it does")
    parser.add_argument("--data", type=Path, help="the data set to measure that on (default: the run's)")
    parser.add_argument(
        "--log-to",
        nargs=1,
        default=[],
        choices=("mlflow",),
        help="add the model to MLflow, to the run's own run there if the search had one (needs the extra "
        "recnas[mlflow])",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an exported model in that folder")
    add_code_flag(parser)


def _run(arguments: argparse.Namespace) -> None:
    from recnas.export import TrainingRecord, export_checkpoint, export_run, is_checkpoint, log_export

    check_trackers(arguments.log_to)
    if is_checkpoint(Path(arguments.run)):
        given = {"--model": arguments.model, "--single": arguments.single, "--format": arguments.format}
        given["--quantize"] = arguments.quantize
        if refused := [flag for flag, value in given.items() if value]:
            raise InputError(
                f"{', '.join(refused)}: the state of a training becomes a plain export; export that once more"
            )
        output = export_checkpoint(arguments.run, arguments.output, overwrite=arguments.overwrite)
    else:
        output = export_run(
            arguments.run,
            arguments.output,
            overwrite=arguments.overwrite,
            model=arguments.model,
            single=arguments.single,
            formats=arguments.format,
            quantize=arguments.quantize is not None,
            data=arguments.data,
        )
    print(f"wrote {output}")
    quantization = TrainingRecord.load(output).quantization
    if quantization is not None:
        print(quantization)
    if arguments.log_to:
        print(f"in MLflow as {log_export(arguments.run, output)}")


EXPORT = Command(
    "export",
    "run -> the best model or ensemble, to take to production",
    "export a run's ensemble, its best model, or another that it trained, for production",
    "recnas export runs/criteo --output models/criteo",
    _add_flags,
    _run,
)
