"""What starting a run and its one process cost, and how that is kept small: nothing here shapes a result.

| what | where | without it, in seconds of CPU |
|---|---|---|
| stages are functions of this process and not commands: TensorFlow is imported once | `dvc_bridge` | 6.2 more a stage |
| dvc.lock is written once, at the end of a run (52 stages, 1,940 lines) | `dvc_bridge.Project` | 1.1 more a stage |
| Prefect's temporary server is a process of its own, and comes up first | `prefect_server` | 3.8 more in this one |
| TensorFlow is imported meanwhile, and Keras 3 never | `flows.run`, `tasks.training.fit` | 2.3 more for Keras 3 |
| garbage is not looked for in imports, nor later among what they made | `garbage` | 3.2 more in a run of `smoke` |
| a command ends without the interpreter's teardown | `leave` | 1.3 more |

What libraries write past Python goes to a file, by `quiet`; what nobody reads any more goes nowhere, by `unread`.
Measured on an AMD EPYC with two virtual CPUs: medians of three fresh processes with compiled bytecode; dvc.lock and
garbage once. `benchmarks/startup.py` has the waiting times.
"""
