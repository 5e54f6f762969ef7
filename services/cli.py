"""`streamgauge <command>`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help=(
        "Federated anomaly detection on Kafka streams. Settings come from environment variables: see the README."
        "\n\n"
        "Exit codes: 0 all is well, 1 something is wrong or data were refused, 2 wrong arguments or settings."
    ),
    no_args_is_help=True,
    add_completion=False,
)
keys = typer.Typer(help="Keys of nodes and aggregator (Ed25519).", no_args_is_help=True)
schemas = typer.Typer(help="The messages' JSON Schemas.", no_args_is_help=True)
app.add_typer(keys, name="keys")
app.add_typer(schemas, name="schemas")
dead_letters = typer.Typer(help="Records that could not be used (STREAMGAUGE_EDGE_*).", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")
profiles = typer.Typer(help="Source profiles: propose one, try one.", no_args_is_help=True)
app.add_typer(profiles, name="profile")
_Source = Annotated[str, typer.Argument(help="File (JSON lines, CSV with a header, Parquet), folder or topic.")]
_Limit = Annotated[int, typer.Option(min=1, help="Records to look at: a file's first, a topic's newest.")]
_Servers = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="Instead of STREAMGAUGE_EDGE_RECORDS__BOOTSTRAP_SERVERS.")
]
_Reason = Annotated[str | None, typer.Option(help="Only those of this reason.")]
_SourceTopic = Annotated[str | None, typer.Option(help="Only those of this topic of records.")]
_Profile = Annotated[str | None, typer.Option(help="Instead of STREAMGAUGE_EDGE_PROFILE.")]


@app.command("edge-node")
def edge_node() -> None:
    """Run an edge node: score a site's records, learn, take part in rounds (STREAMGAUGE_EDGE_*)."""
    from services.edge_node.main import main

    main()


@app.command()
def aggregator() -> None:
    """Run the aggregator of a federation (STREAMGAUGE_AGGREGATOR_*)."""
    from services.aggregator.main import main

    sys.exit(main())


@app.command()
def api() -> None:
    """Run the API: alerts, models, releases, rounds, nodes over HTTP (STREAMGAUGE_API_*)."""
    from services.api.main import main

    sys.exit(main())


@app.command()
def replay(
    profile: Annotated[str, typer.Argument(help="Source profile: a bundled name or a .toml file.")],
    files: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns: CSV, .gz, .xz, .zip, tar, Parquet.")
    ],
    topic: Annotated[str, typer.Option(help="Topic; with {site} in it, one a site.")],
    bootstrap_servers: Annotated[
        str | None, typer.Option("--bootstrap-servers", help="host:port; else STREAMGAUGE_REPLAY_RECORDS__*.")
    ] = None,
    rate: Annotated[str | None, typer.Option(help="Records a second: 1000/s.")] = None,
    speed: Annotated[str | None, typer.Option(help="Times as fast as life: 100x.")] = None,
    unpaced: Annotated[bool, typer.Option("--max", help="As fast as possible.")] = False,
    times: Annotated[
        str | None, typer.Option(help="original, now, now-5d or 2026-01-31T08:00: when event time starts.")
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="Event time between two records of data without times: 1s, 0.01s.")
    ] = None,
    longest_gap: Annotated[
        str | None, typer.Option("--longest-gap", help="Wait at most so long where the data have a gap: 5s.")
    ] = None,
    start_row: Annotated[int, typer.Option("--start-row", min=0, help="First row that is sent, from 0.")] = 0,
    stop_row: Annotated[int | None, typer.Option("--stop-row", min=1, help="First row that is not sent.")] = None,
    loop: Annotated[int, typer.Option(min=0, help="How often all is sent; 0: again and again.")] = 1,
    sites: Annotated[str | None, typer.Option(help="6, or a,b, or a=50,b=30 with shares.")] = None,
    split: Annotated[
        str | None, typer.Option(help="stage, time, entity or dirichlet:ALPHA:COLUMN: which site gets a record.")
    ] = None,
    bursts: Annotated[
        str | None,
        typer.Option(help="Normal records first, then bursts with attacks: default, or normal=20000,share=0.05."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="drop:0.01, duplicate:.., reorder:..:10s, late:..:60s, corrupt:.., stuck:FIELD:..:60s."),
    ] = None,
    columnar: Annotated[int, typer.Option(min=0, help="Records a message, as an Arrow stream; 0: JSON.")] = 0,
    send_labels: Annotated[bool, typer.Option(help="Send the label's fields too.")] = False,
    resume: Annotated[Path | None, typer.Option(help="File that keeps the position; goes on from it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of splits, bursts and faults.")] = 0,
) -> None:
    """Publish recorded data as a live stream: in order of time, in constant memory (STREAMGAUGE_REPLAY_*)."""
    from services.replay.command import Arguments
    from services.replay.command import replay as run

    arguments = Arguments(
        profile=profile,
        files=files,
        topic=topic,
        sites=sites,
        split=split,
        bursts=bursts,
        rate=rate,
        speed=speed,
        unpaced=unpaced,
        every=every,
        longest_gap=longest_gap,
        times=times,
        start_row=start_row,
        stop_row=stop_row,
        loops=loop,
        columnar=columnar,
        send_labels=send_labels,
        faults=fault or (),
        seed=seed,
    )
    sys.exit(run(arguments, resume, bootstrap_servers))


@app.command()
def plant(
    site: Annotated[
        list[str] | None, typer.Option(help="Name of a plant, also its entity; several: --site a --site b.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same stream.")] = None,
    speed: Annotated[str | None, typer.Option(help="Event time against life, such as 100x.")] = None,
    as_fast_as_possible: Annotated[bool, typer.Option("--max", help="As fast as it goes.")] = False,
    for_s: Annotated[
        str | None, typer.Option("--for", help="End after so much event time: 90, 15min, 2h, 7d.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="wide, or long: one tag a message.")] = None,
    attacks: Annotated[str | None, typer.Option(help="none, schedule or a TOML file of attacks.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write a CSV file.")] = None,
    topic: Annotated[str | None, typer.Option(help="Kafka topic; {site} is the plant's name.")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="Kafka to send to, host:port.")] = None,
    state: Annotated[Path | None, typer.Option(help="Folder to keep states in, to go on after a restart.")] = None,
) -> None:
    """Simulate water treatment plants with SWaT's tags, live, with attacks on command (STREAMGAUGE_PLANT_*)."""
    from services.plant.main import main

    given = {
        "sites": site,
        "seed": seed,
        "speed": "0" if as_fast_as_possible else speed,
        "for_s": for_s,
        "layout": layout,
        "attacks": attacks,
        "out": out,
        "topic": topic,
        "records": bootstrap and {"bootstrap_servers": bootstrap},
        "state_dir": state,
    }
    sys.exit(main({name: value for name, value in given.items() if value is not None}))


@app.command()
def backtest(
    profile: Annotated[str, typer.Argument(help="Source profile: a bundled name or a .toml file.")],
    files: Annotated[list[str], typer.Argument(help="Files, folders or patterns, as for replay.")],
    detector: Annotated[str, typer.Option(help="Trained on the leading, normal part.")] = "autoencoder",
    bundle: Annotated[Path | None, typer.Option(help="A node's bundle instead; nothing is trained.")] = None,
    train: Annotated[
        str | None,
        typer.Option(
            help="ROWS, a time up to which, or each:ROWS of every entity; else up to the first attack, at most "
            "half of all; without any attack 30 %."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write this HTML page, and the JSON beside.")] = None,
    gap: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds; abnormal records closer than this are one alert.")
    ] = None,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", min=0.001, help="Allowed false-alarm events a day and entity.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
) -> None:
    """Say what would have been detected in recorded data: the edge node's chain without Kafka, at full speed."""
    from services.backtest.main import Request, main

    sys.exit(main(Request(profile, files, detector, bundle, train, out, gap, false_alarms, seed)))


@app.command()
def demo(
    for_s: Annotated[
        float | None, typer.Option("--for", min=5, help="End after so many seconds, with a verdict.")
    ] = None,
    data: Annotated[
        str, typer.Option(help="plant: three simulated plants; nsl-kdd: a sample of a public data set.")
    ] = "plant",
    broker: Annotated[str, typer.Option(help="embedded, or kafka for a real Apache Kafka.")] = "embedded",
    detector: Annotated[
        str | None,
        typer.Option(
            help="autoencoder, autoencoder_kmeans, pca, dynamic_pca or lstm; contrastive or mlp learn from labels."
        ),
    ] = None,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")] = 8000,
) -> None:
    """Run the whole chain on this machine: broker, three nodes, aggregator, API and a stream with attacks."""
    from services.demo.command import demo as run

    sys.exit(run(for_s, data, broker, detector, api_port))


@app.command()
def kafka(
    data_dir: Annotated[Path, typer.Option(help="Where its data are kept over restarts.")] = Path("var/kafka"),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9092,
) -> None:
    """Run a real Apache Kafka on this machine (jars from Maven Central, Java 17) until Ctrl-C."""
    from services.demo.command import kafka as run

    sys.exit(run(data_dir, port))


@app.command()
def simulate(
    data: Annotated[
        str, typer.Argument(help="Folder of a public data set, a CSV file with a header, or nsl-kdd-sample.")
    ] = "nsl-kdd-sample",
    profile: Annotated[str, typer.Option(help="Source profile: a bundled name or a .toml file.")] = "nsl-kdd",
    files: Annotated[list[str] | None, typer.Option(help="Patterns of files to read from the folder.")] = None,
    detector: Annotated[str, typer.Option(help="Name of the detector.")] = "autoencoder",
    mode: Annotated[str, typer.Option(help="federated, local or centralised, with equal effort.")] = "federated",
    clients: Annotated[int, typer.Option(min=1)] = 10,
    rounds: Annotated[int, typer.Option(min=1)] = 20,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of any other setting; `--set help` lists them.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same result.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the results to this file, as JSON.")] = None,
) -> None:
    """Simulate a federation in this process, without Kafka: unlike, slow or hostile clients; or none of it."""
    from services.simulate import Request, main

    named = {"detector": detector, "mode": mode, "clients": clients, "rounds": rounds}
    sys.exit(main(Request(data, profile, tuple(files or ()), named, tuple(settings or ()), seed, out)))


@app.command()
def bench(
    table: Annotated[str, typer.Argument(help="Table that is measured on your own files: paper1 or paper2.")],
    swat: Annotated[Path | None, typer.Option(help="Folder with SWaT's files as CSV, for paper1.")] = None,
    diad: Annotated[Path | None, typer.Option(help="Folder of CIC IoT-DIAD 2024, for paper2.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every row; fewer than 5 are a rough look.")] = 5,
    out: Annotated[Path, typer.Option(help="Folder for the results and the runs kept.")] = Path("var/bench"),
    only: Annotated[str | None, typer.Option(help="Run only rows whose key contains it.")] = None,
) -> None:
    """Measure a paper's table on a data set that cannot be redistributed; needs the project's checkout."""
    from services.bench import main

    sys.exit(main(table, {"swat": swat, "diad": diad}, seeds, out, only))


@app.command()
def doctor() -> None:
    """Check brokers, topics, keys and profile of the services whose settings are in the environment."""
    from services.doctor import main

    sys.exit(main())


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the node (site/worker) or aggregator.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where the two files go.")] = Path("var/keys"),
) -> None:
    """Make a key pair; the private file is readable by its owner only."""
    from services.keys import create_command

    sys.exit(create_command(name, directory))


@keys.command()
def enrol(
    public_key: Annotated[Path, typer.Argument(help="The node's .pub file.")],
    directory: Annotated[Path, typer.Option("--dir", help="The aggregator's directory of nodes' keys.")] = Path(
        "var/keys/nodes"
    ),
) -> None:
    """Let a node take part: copy its public key into the aggregator's directory."""
    from services.keys import enrol_command

    sys.exit(enrol_command(public_key, directory))


@schemas.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")] = Path("schemas/json"),
) -> None:
    """Write the JSON Schema of every message."""
    from services.schema_export import export as run

    run(directory)


def main() -> None:
    """Entry point."""
    app()


@dead_letters.command("list")
def list_dead_letters(
    reason: _Reason = None,
    topic: _SourceTopic = None,
    newest: Annotated[int, typer.Option(min=0, help="Name so many of the newest.")] = 20,
    servers: _Servers = None,
) -> None:
    """Count dead letters by reason, with what to do about each; every record once."""
    from services.dead_letters.command import Choice, main

    sys.exit(main("list", Choice(reason, topic), newest, servers=servers))


@dead_letters.command("show")
def show_dead_letter(
    position: Annotated[str, typer.Argument(help="topic:partition:offset, as `list` names it.")],
    profile: _Profile = None,
    servers: _Servers = None,
) -> None:
    """Show one dead letter whole, and whether a node would accept it now."""
    from services.dead_letters.command import Choice, main

    sys.exit(main("show", Choice(position=position), profile=profile, servers=servers))


@dead_letters.command("replay")
def replay_dead_letters(
    reason: _Reason = None,
    topic: _SourceTopic = None,
    position: Annotated[str | None, typer.Option(help="Only this one: topic:partition:offset.")] = None,
    profile: _Profile = None,
    servers: _Servers = None,
) -> None:
    """Send to their topic again what a node would accept now, each record once."""
    from services.dead_letters.command import Choice, main

    sys.exit(main("replay", Choice(reason, topic, position), profile=profile, servers=servers))


@profiles.command("infer")
def infer_profile(
    source: _Source,
    limit: _Limit = 5000,
    servers: _Servers = None,
    name: Annotated[str | None, typer.Option(help="Of the profile; the source's by default.")] = None,
) -> None:
    """Propose a profile for unknown records, as TOML with comments: write it to a file and edit it."""
    from services.profile_tools.command import infer

    sys.exit(infer(source, limit, servers, name))


@profiles.command("check")
def check_profile(
    profile: Annotated[str, typer.Argument(help="A bundled name or a .toml file.")],
    source: _Source,
    limit: _Limit = 5000,
    servers: _Servers = None,
) -> None:
    """Say what a profile accepts, imputes, ignores and rejects of records, and why; or what is wrong with it."""
    from services.profile_tools.command import check_source

    sys.exit(check_source(profile, source, limit, servers))


if __name__ == "__main__":
    main()
