#!/usr/bin/env bash
# Train on the GPUs of one or more nodes: sbatch slurm_train.sh IMAGES OUT [FLAGS OF topwork train]
# IMAGES, OUT and TOPWORK_CACHE must be on a file system that all nodes share.
#SBATCH --job-name=topwork
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1        # one torchrun per node, which starts one process per GPU
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@180        # to this script, three minutes before the time limit
#SBATCH --requeue
#SBATCH --open-mode=append
set -u

images=$1 out=$2
shift 2
arguments=("$images" --out "$out" "$@")
[[ -f $out/run.json ]] && arguments=(--resume "$out") # a requeued job resumes the run

stopped= step=
stop() {
  stopped=$1
  kill -TERM "$step" 2>/dev/null # srun forwards it; topwork finishes its step and saves
}
trap 'stop time' USR1
trap 'stop preempted' TERM

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
  --rdzv-backend c10d --rdzv-endpoint "$head:$((20000 + SLURM_JOB_ID % 20000))" --rdzv-id "$SLURM_JOB_ID" \
  --max-restarts 3 --shutdown-timeout 120 -m topwork train "${arguments[@]}" &
step=$!
wait "$step"
status=$?
while [[ $stopped ]] && kill -0 "$step" 2>/dev/null; do # the signal ended the wait, not the training
  wait "$step"
  status=$?
done

# Slurm requeues a preempted job itself, by its PreemptMode. A failed job is not requeued.
[[ $stopped == time ]] && scontrol requeue "$SLURM_JOB_ID"
exit "$status"
