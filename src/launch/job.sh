# Ends of the job, and who queues it again. Where SLURM takes the nodes away (pre-emption, scontrol requeue, a node that
# fails), it has decided itself whether the job starts again, and the job is not RUNNING any more. Where the run only got the
# warning before the end of its time, this script queues the job again. 75 is the exit code of a run that has saved and left, 138
# that of one that was not ready for signals yet.
trap : TERM   # the processes save and leave; their end is waited for
rm -f "$folder/submission/exit"
attempt=${SLURM_RESTART_COUNT:-0}
echo "job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, attempt $((attempt + 1)), $(date '+%Y-%m-%d %H:%M:%S')"
MASTER_ADDR=$(scontrol show node "$SLURMD_NODENAME" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
MASTER_PORT=$("$python" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
export MASTER_ADDR MASTER_PORT
# The first process ends last, and its code is the job's: srun must not end it for the sake of another.
srun --kill-on-bad-exit=0 --wait=0 --distribution=block --input=none "${per_process[@]}" "$python" -m src.job "$folder"
code=$?
if [[ $code == 75 || $code == 138 ]] && [ "$(squeue -h -j "$SLURM_JOB_ID" -o %T)" = RUNNING ]; then
    if [ "$attempt" -lt "$max_requeues" ]; then
        echo "job $SLURM_JOB_ID is queued again, $((attempt + 1)) of at most $max_requeues times"
        scontrol requeue "$SLURM_JOB_ID" && exit 75
    else
        echo "job $SLURM_JOB_ID is not queued again: cluster.max_requeues=$max_requeues; the same command continues the run"
    fi
fi
echo "$SLURM_JOB_ID $code" > "$folder/submission/exit"
if [ "$code" = 0 ]; then rm -rf "$folder/submission/code"; fi
exit "$code"
