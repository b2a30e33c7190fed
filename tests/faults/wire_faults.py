"""What can happen to a server process, to its clock, and to the wires between it and the stores."""

import signal

from tests.faults.harm import Harm

SKEW_MAX_MS = 14_000
"""Two servers are never further apart than the leeway that tokens are given."""

JUMP_MS = 16 * 60_000
"""Longer than an access token lives."""

_STATEMENTS = ("INSERT INTO stakes",) * 4 + ("INSERT INTO sessions", "UPDATE sessions", "UPDATE users", "")


async def server_killed(harm: Harm) -> None:
    """kill -9; another process takes its place."""
    server = harm.a_server()
    async with harm.noted("server_killed", server, detail="kill -9"):
        await server.kill()
        await harm.a_while(0)
        await server.start()


async def server_stopped(harm: Harm) -> None:
    """SIGSTOP … SIGCONT: it wakes in the middle of whatever it did."""
    server = harm.a_server()
    async with harm.noted("server_stopped", server, detail="stopped"):
        server.signal(signal.SIGSTOP)
        try:
            await harm.a_while()
        finally:
            server.signal(signal.SIGCONT)


async def clock_skewed(harm: Harm) -> None:
    """One server's date moves forward or back by seconds, and stays there."""
    server = harm.a_server()
    async with harm.noted("other", server, detail="clock skewed", until_ready=False):
        server.skew_clock(harm.random.randint(-SKEW_MAX_MS, SKEW_MAX_MS))


async def clocks_jumped(harm: Harm) -> None:
    """All servers' date moves forward, so that every access token has expired."""
    async with harm.noted("other", detail="clocks jumped", until_ready=False):
        for server in harm.cluster.servers:
            server.advance_clock(JUMP_MS)


async def redis_connection_cut(harm: Harm) -> None:
    """One server's connection to Redis is reset, and no other is taken for a while."""
    server = harm.a_server()
    async with harm.noted("redis_away", server, detail="cut"):
        server.redis_proxy.refuse()
        server.redis_proxy.cut()
        await harm.a_while(0)
        await server.redis_proxy.listen_again()


async def redis_reply_lost(harm: Harm) -> None:
    """Redis does what it was told, and the connection is cut before the answer; some times over."""
    server = harm.a_server()
    async with harm.noted("redis_away", server, detail="reply lost"):
        for _ in range(harm.random.randint(1, 4)):
            server.redis_proxy.cut_at = b"EVALSHA"
            await harm.a_while(0.05)
        server.redis_proxy.cut_at = None


async def redis_delayed(harm: Harm) -> None:
    """Answers come late: sometimes in time, sometimes not."""
    server = harm.a_server()
    async with harm.noted("redis_away", server, detail="delayed"):
        server.redis_proxy.delay_s = harm.random.uniform(0.05, 1.5)
        await harm.a_while()
        server.redis_proxy.delay_s = 0.0


async def redis_commands_delayed(harm: Harm) -> None:
    """What is to be stored arrives late, when others may have written; still in time for whoever waits."""
    server = harm.a_server()
    async with harm.noted("redis_away", server, detail="commands delayed"):
        server.redis_proxy.commands_delay_s = harm.random.uniform(0.05, 0.2)
        await harm.a_while()
        server.redis_proxy.commands_delay_s = 0.0


async def redis_silent(harm: Harm) -> None:
    """The connection stands half open: commands pass, answers do not."""
    server = harm.a_server()
    async with harm.noted("redis_away", server, detail="half open"):
        server.redis_proxy.stall()
        await harm.a_while()
        if harm.random.random() < 0.5:
            server.redis_proxy.cut()
        server.redis_proxy.resume()


async def database_cut_before(harm: Harm) -> None:
    """The connection is cut before PostgreSQL sees the statement."""
    server = harm.a_server()
    async with harm.noted("database_away", server, detail="cut before a statement"):
        server.postgres_proxy.cut_requests(harm.random.randint(1, 6), harm.random.choice(_STATEMENTS))
        await harm.a_while()
        server.postgres_proxy.cut_nothing_more()


async def database_cut_during(harm: Harm) -> None:
    """The connection is cut while PostgreSQL runs the statement."""
    server = harm.a_server()
    async with harm.noted("database_away", server, detail="cut during a statement"):
        server.postgres_proxy.cut_runs(harm.random.randint(1, 6), harm.random.choice(_STATEMENTS))
        await harm.a_while()
        server.postgres_proxy.cut_nothing_more()


async def database_cut_after(harm: Harm) -> None:
    """PostgreSQL commits, and the connection is cut before it can say so."""
    server = harm.a_server()
    async with harm.noted("database_away", server, detail="cut after a statement"):
        server.postgres_proxy.cut_answers(harm.random.randint(1, 6), harm.random.choice(_STATEMENTS))
        await harm.a_while()
        server.postgres_proxy.cut_nothing_more()


async def database_answers_lost(harm: Harm) -> None:
    """For a while statements pass and answers do not; then every connection is cut."""
    server = harm.a_server()
    async with harm.noted("database_away", server, detail="answers lost"):
        server.postgres_proxy.hold_answers()
        await harm.a_while()
        server.postgres_proxy.cut_all()
        server.postgres_proxy.resume()


async def database_silent(harm: Harm) -> None:
    """Connections stand and are taken, and nothing passes; then all that was held does."""
    server = harm.a_server()
    async with harm.noted("database_away", server, detail="half open"):
        server.postgres_proxy.stall()
        await harm.a_while()
        server.postgres_proxy.resume()


async def database_delayed(harm: Harm) -> None:
    """Every frame comes late, so that connections are held long and the pool runs dry."""
    server = harm.a_server()
    async with harm.noted("database_slow", server, detail="delayed"):
        server.postgres_proxy.delay_s = harm.random.uniform(0.02, 0.3)
        await harm.a_while()
        server.postgres_proxy.delay_s = 0.0


FAULTS = (
    server_killed,
    server_killed,
    server_killed,
    server_stopped,
    clock_skewed,
    clocks_jumped,
    redis_connection_cut,
    redis_reply_lost,
    redis_delayed,
    redis_commands_delayed,
    redis_silent,
    database_cut_before,
    database_cut_during,
    database_cut_after,
    database_cut_after,
    database_answers_lost,
    database_silent,
    database_delayed,
    database_delayed,
)
"""Those that leave a write half done come more often."""
