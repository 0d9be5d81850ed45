"""What a run will cost, worked out before anything runs: `python -m vr.plan`.

    shapes     a model's sizes: weights, operations, bytes of keys and values
    texts      how many tokens questions, traces and answers have: measured, or assumed
    work       which stages run, and how much each has to do
    hardware   what a machine can do, and how fast it is: assumed, or measured (probe)
    hours      seconds of a stage
    memory     bytes of a training, scoring or sampling process
    disk       bytes of tables, models and checkpoints
    fits       what there is no room for, and the entry that would mend it
    page       the table that is printed
    probe      measures the speed of this machine
    planning   all of them, from the files to the plan

A room of its own, since it asks the engines how they would lay a run out, and so stands above vr/execution.
All but `probe`, `texts`, `hardware` and `planning` is arithmetic. Units: tokens, bytes, seconds, operations (FLOP).
Not covered: the hub's downloads, waiting in a queue, several machines.
"""
