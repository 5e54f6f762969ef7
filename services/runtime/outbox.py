"""The outbox: messages decided on in a transaction, sent after it, at least once and in order.

A service writes a message into the table in the same transaction as what it derived or decided, so a kill leaves
both or neither. A crash after a delivery and before the note of it repeats the message; every receiver of ours
knows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from schemas import MESSAGES, Message
from services.runtime.database import Database
from services.runtime.envelope import Sealer
from services.runtime.log import Outgoing, Producer, Sent

_BATCH = 100
_TYPES: Mapping[str, type[Message]] = {message.TYPE: message for message in MESSAGES}


@dataclass(frozen=True)
class Letter:
    """A message to send.

    Attributes:
        type: TYPE of the message, or what else the service's outbox knows.
        body: its JSON.
    """

    topic: str
    key: str
    type: str
    body: str
    partition: int | None = None


def outbox_table(metadata: sa.MetaData, owner: sa.Column[str]) -> sa.Table:
    """The table ``outbox``; the column `owner` says whose letter it is: several senders may share it."""
    return sa.Table(
        "outbox",
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        owner,
        sa.Column("topic", sa.String(300), nullable=False),
        sa.Column("log_partition", sa.Integer),
        sa.Column("key", sa.String(500), nullable=False),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )


class Letters:
    """The rows of one owner; every method runs inside a transaction of the caller's.

    Args:
        table: made by `outbox_table`.
        owners: its column of owners.
        owner: whose letters these are.
    """

    def __init__(self, table: sa.Table, owners: sa.Column[str], owner: str) -> None:
        self._table, self._owners, self._owner = table, owners, owner

    def post(self, connection: sa.Connection, letters: Iterable[Letter]) -> None:
        """Put messages into the outbox, in order."""
        for letter in letters:
            row = {
                self._owners.name: self._owner,
                "topic": letter.topic,
                "log_partition": letter.partition,
                "key": letter.key,
                "type": letter.type,
                "body": letter.body,
            }
            connection.execute(sa.insert(self._table), row)

    def first(self, connection: sa.Connection, limit: int) -> list[tuple[int, Letter]]:
        """The oldest messages with their ids."""
        mine = sa.select(self._table).where(self._owners == self._owner)
        query = mine.order_by(self._table.c.id).limit(limit)
        return [
            (row.id, Letter(row.topic, row.key, row.type, row.body, row.log_partition))
            for row in connection.execute(query)
        ]

    def remove(self, connection: sa.Connection, number: int) -> None:
        """A message was acknowledged."""
        connection.execute(sa.delete(self._table).where(self._table.c.id == number))


class Outbox:
    """Sends one owner's letters.

    Args:
        database: where they are.
        letters: its rows.
        producer: delivers.
        sealer: puts them into envelopes.
    """

    def __init__(self, database: Database, letters: Letters, producer: Producer, sealer: Sealer) -> None:
        self._database = database
        self._letters = letters
        self._producer = producer
        self._sealer = sealer

    def flush(self) -> None:
        """Send everything, one message after the other.

        Raises:
            StoppedError: the service is stopping; the rest is sent by the next process.
        """
        while True:
            with self._database.read() as connection:
                letters = self._letters.first(connection, _BATCH)
            self.waiting(len(letters))
            if not letters:
                return
            for number, letter in letters:
                self._send(number, letter)

    def _send(self, number: int, letter: Letter) -> None:
        with self._database.read() as connection:
            outgoing = self.outgoing(connection, letter)
        sent = self._producer.deliver([outgoing])[0] if outgoing is not None else None
        with self._database.write() as connection:
            if sent is not None:
                self.acknowledged(connection, letter, sent)
            self._letters.remove(connection, number)

    def outgoing(self, connection: sa.Connection, letter: Letter) -> Outgoing | None:
        """The record to send; None where there is nothing to send any more."""
        message = _TYPES[letter.type].read(letter.body)
        return self._sealer.seal(message, letter.topic, letter.key.encode(), partition=letter.partition)

    def acknowledged(self, connection: sa.Connection, letter: Letter, sent: Sent) -> None:
        """Told of each delivery, in the transaction that takes the letter out."""

    def waiting(self, letters: int) -> None:
        """Told how many letters wait, at most a hundred."""
