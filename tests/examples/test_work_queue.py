"""examples/work_queue: jobs are done, whichever workers come and go."""

from tests.support.processes import Scripts

from .endings import terminate, url_of

JOBS = 40


def test_jobs_have_results_although_a_worker_dies_in_the_middle_of_one(run: Scripts) -> None:
    producer = run.start("work_queue/producer.py", "tcp://127.0.0.1:0", JOBS)
    url = url_of(producer)
    victim = run.start("work_queue/worker.py", "victim", url, 3600)
    job = victim.wait_for("begin").removeprefix("begin ")
    early = [run.start("work_queue/worker.py", f"early-{n}", url, 0.05) for n in range(3)]
    for worker in early:
        worker.wait_for("begin")
    victim.kill()
    for worker in early:
        terminate(worker)
        assert worker.lines[-1] == "bye"
    for number in range(2):
        run.start("work_queue/worker.py", f"late-{number}", url, 0)
    assert producer.wait() == 0, producer
    assert f"victim has lost {job}" in producer.lines
    results = " ".join(str(number * number) for number in range(JOBS))
    assert producer.lines[-1] == f"results {results}"
    done = [line.split() for line in producer.lines if "has done" in line]
    assert sorted(int(job) for *_, job in done) == [*range(JOBS)]
    assert "victim" not in {worker for worker, *_ in done}


def test_worker_that_joins_later_gets_a_job(run: Scripts) -> None:
    producer = run.start("work_queue/producer.py", "tcp://127.0.0.1:0", 2)
    url = url_of(producer)
    run.start("work_queue/worker.py", "first", url, 3600).wait_for("begin")
    second = run.start("work_queue/worker.py", "second", url, 0)
    producer.wait_for("second has done")
    terminate(second)
