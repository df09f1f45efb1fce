"""Where else than in the flow's process the command of a stage may run.

The flow keeps what there is one of: the outputs, `dvc.lock`, the order, the measurements of this machine. A command
that is carried elsewhere reads and writes the same outputs: in the same folder, where that is shared, or in a clone of
the project there, with which `exchange` trades them through DVC's remote.
"""
