import { REQUESTS_FOLDER, SUBMISSION_FILE } from './folders.js'
import { type ClusterJob, type NodeReferences, nodeCommand } from './job.js'
import { shellWord } from './quote.js'

/** Exit code of a pod that Kubernetes starts again without counting it: 128 and the number of SIGTERM. */
export const PREEMPTED = 143

const REFERENCES: NodeReferences = {
  nodeRank: '"$PET_NODE_RANK"',
  rendezvous: '"$PET_MASTER_ADDR:$PET_MASTER_PORT"',
  shard: '"$((JOB_COMPLETION_INDEX + 1))"',
  // a folder for each start: the time of this one
  launchDirectory: '"$run/launch/$started/node-$PET_NODE_RANK"',
}

/**
 * Return the shell script of a container. As process 1, it passes stop signals on to freetumor, and turns the exit code of
 * a preempted run into `PREEMPTED`.
 * @param id kind and name of the job as kubectl takes it
 */
export function startScript(job: ClusterJob, id: string): string {
  // the container is the image: no other container program starts in it
  const inside = { ...job, cluster: { ...job.cluster, image: null } }
  const { kind } = job.work
  const isChecked = job.cluster.check && (kind === 'training' || kind === 'script')
  const steps = [
    ...(isChecked ? [['check', checkCommand(job)] as const] : []),
    ['work', nodeCommand(inside, REFERENCES)] as const,
  ]
  const parts = [
    HEAD,
    `run=${shellWord(job.directory, 'run directory')}`,
    // `freetumor runs` of another machine that mounts the folder controls the run through files in it
    ...(kind === 'training'
      ? [`mkdir -p "$run" && mkdir -p -m 700 "$run/${REQUESTS_FOLDER}"`, ...record(job, id)]
      : []),
    ...(kind === 'script' ? ['started=$(date -u +%Y%m%dT%H%M%SZ)'] : []),
    // signals reach freetumor itself, because `exec` replaces the shell of a step
    ...steps.map(([name, command]) => `${name}() { exec ${command}; }`),
    STEPS,
    rendezvous(job),
    steps.map(([name]) => `run_step ${name}`).join(' && '),
    conclusion(job),
  ]
  return `${parts.flat().join('\n')}\n`
}

/** `freetumor runs` of a machine that mounts the folder names the job. A record that cannot be written stops no training. */
function record({ name, cluster, nodes }: ClusterJob, id: string): string[] {
  const { namespace } = cluster.kubernetes
  const file = `"$run/${SUBMISSION_FILE}"`
  const text = shellWord(JSON.stringify({ scheduler: 'kubernetes', id, name, namespace }), 'run name')
  const keeps = nodes === 1 ? '' : '[ "$PET_NODE_RANK" -ne 0 ] || '
  return [`${keeps}{ printf '%s\\n' ${text} > ${file}.tmp && mv ${file}.tmp ${file}; }`]
}

/**
 * The check of one node alone: Kubernetes can replace the pod of one node while the others train, so an all-reduce of all
 * nodes could not end.
 */
function checkCommand({ program }: ClusterJob): string {
  return [...program, 'doctor'].map((word) => shellWord(word, 'command')).join(' ')
}

const HEAD = [
  '#!/bin/sh',
  '# Written by freetumor. docs/cluster.md explains it.',
  'set -u',
  'step=',
  'signalled=',
  '# the preStop hook and the kubelet each signal: a second signal would end freetumor at once',
  'pass_on() {',
  '  [ -z "$signalled" ] || return',
  '  signalled=yes',
  '  [ -z "$step" ] || kill -TERM "$step" 2> /dev/null',
  '}',
  'trap pass_on TERM USR2 INT',
  '',
]

/** `wait` returns at each signal, so it is repeated; a second wait for an ended process returns 127 in some shells. */
const STEPS = [
  '',
  'run_step() {',
  `  [ -z "$signalled" ] || return ${PREEMPTED}`,
  '  "$1" &',
  '  step=$!',
  '  # the signal came before the process was known',
  '  [ -z "$signalled" ] || kill -TERM "$step" 2> /dev/null',
  '  code=0',
  '  while kill -0 "$step" 2> /dev/null; do wait "$step"; code=$?; done',
  '  wait "$step" 2> /dev/null',
  '  last=$?',
  '  [ "$last" -eq 127 ] || code=$last',
  '  step=',
  '  return "$code"',
  '}',
  '',
]

/** Node 0 listens at the address of its name, which the name service of the cluster may learn after the pod has started. */
function rendezvous({ nodes }: ClusterJob): string[] {
  if (nodes === 1) return []
  return [
    '# at most 2 minutes; then freetumor reports what it lacks',
    'seconds=0',
    'while [ -z "$signalled" ] && [ "$seconds" -lt 120 ] && ! getent hosts "$PET_MASTER_ADDR" > /dev/null; do',
    '  sleep 1',
    '  seconds=$((seconds + 1))',
    'done',
    '',
  ]
}

function conclusion({ work, nodes }: ClusterJob): string[] {
  const isTogether = work.kind === 'training' && nodes > 1
  return [
    'code=$?',
    '# a preempted run has saved: the next pod resumes it',
    `case $code in 75 | 130 | 140 | 143) [ -z "$signalled" ] || exit ${PREEMPTED} ;; esac`,
    ...(isTogether
      ? [
          '# another node was preempted: this node starts again with it',
          'record=$run/exit.json',
          '[ "$PET_NODE_RANK" -eq 0 ] || record=$run/exit.node-$PET_NODE_RANK.json',
          `if [ "$code" -eq 75 ] && grep -q '"reason": "stop on node ' "$record"; then exit ${PREEMPTED}; fi`,
        ]
      : []),
    'exit "$code"',
  ]
}
