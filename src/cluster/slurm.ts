import { ConfigError } from '../errors.js'
import { HISTORY_FILE, JOBS_FILE, SUBMISSION_FOLDER } from './folders.js'
import { type ClusterJob, type NodeReferences, nodeCommand, preflightCommand } from './job.js'
import { refuseControl, refuseUnclosed, shellWord } from './quote.js'

function referencesOf({ work }: ClusterJob): NodeReferences {
  const offset = work.kind === 'array' ? work.offset : 0
  return {
    nodeRank: '"$SLURM_NODEID"',
    rendezvous: '"$rendezvous"',
    shard: `"$((SLURM_ARRAY_TASK_ID + ${offset}))"`,
    launchDirectory: '"$run/launch/job-$SLURM_JOB_ID-restart-$restart/node-$SLURM_NODEID"',
  }
}

/**
 * Return the script of a job for `sbatch`. No value can add a line to it.
 * @throws ConfigError for a value that the script cannot hold
 */
export function sbatchScript(job: ClusterJob): string {
  const check = preflightCommand(job, referencesOf(job))
  const parts = [
    ['#!/bin/bash', '# Written by freetumor. docs/cluster.md explains it.', ...directives(job)],
    preparation(job),
    STEPS,
    ...(check === null ? [] : [nodeStep('check', check)]),
    nodeStep('work', nodeCommand(job, referencesOf(job))),
    conclusion(job, check !== null),
  ]
  return `${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

/** Jobs that a job submits: the tasks of a wave, and the job after them. */
export interface NextWave {
  readonly tasks: readonly string[]
  /** True if only one of these arrays may run at a time. */
  readonly inTurn: boolean
  readonly following: string
}

/**
 * Return the script of the job that submits the next wave of an array. All scripts are in `submission/`.
 * @param job that of the merge, whose resources are enough
 */
export function waveScript(job: ClusterJob, { tasks, inTurn, following }: NextWave): string {
  const lines = [
    '#!/bin/bash',
    '# Written by freetumor. docs/cluster.md explains it.',
    ...directives({ ...job, node: { ...job.node, cpus: 1, memoryGB: null } }),
    '',
    'set -u',
    `run=${shellWord(job.directory, 'run directory')}`,
    `folder=$run/${SUBMISSION_FOLDER}`,
    `jobs=$folder/${JOBS_FILE}`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
    'restart=${SLURM_RESTART_COUNT:-0}',
    ...SUBMIT,
    '',
    'ids=',
    'code=0',
    ...tasks.map((script) => {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
      const order = inTurn ? ' ${ids:+"--dependency=afterany$ids"}' : ''
      return `[ "$code" -ne 0 ] || { submit ${script}${order} && ids=$ids:$id; } || code=4`
    }),
    `[ "$code" -ne 0 ] || submit ${following} "--dependency=afterany$ids" || code=4`,
    historyLine(job),
    'exit "$code"',
  ]
  return `${lines.join('\n')}\n`
}

/** A requeued job submits no script twice. A limit of jobs that others have reached passes by. */
const SUBMIT = [
  '# submit SCRIPT OPTION...: submit a script unless it was, and set id',
  'submit() {',
  `  id=$(sed -n 's/.*"job":"\\([0-9]*\\)","script":"'"$1"'".*/\\1/p' "$jobs" | tail -n 1)`,
  '  [ -z "$id" ] || return 0',
  '  for attempt in $(seq 60); do',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
  '    if id=$(sbatch --parsable "${@:2}" "$folder/$1" 2> "$folder/sbatch.log"); then',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
  '      id=${id%%;*}',
  `      printf '{"job":"%s","script":"%s"}\\n' "$id" "$1" >> "$jobs"`,
  '      return 0',
  '    fi',
  '    cat "$folder/sbatch.log" >&2',
  '    grep -qiE "limit|temporar|unavailable|try again" "$folder/sbatch.log" || return 1',
  '    sleep 60',
  '  done',
  '  return 1',
  '}',
]

/** Variables of the submitter's shell that the job gets. */
const EXPORTED = ['HOME', 'LANG', 'LOGNAME', 'PATH', 'SHELL', 'USER']

function directives(job: ClusterJob): string[] {
  const { cluster, node, work, directory, nodes } = job
  const { slurm } = cluster
  const log = work.kind === 'array' ? 'slurm-%A_%a.log' : 'slurm-%j.log'
  const resumes = work.kind !== 'command'
  const values: readonly (readonly [string, string | number | null])[] = [
    ['job-name', job.name],
    ['account', cluster.account],
    ['partition', cluster.partition],
    ['qos', cluster.qos],
    ['nodes', nodes],
    ['ntasks-per-node', 1],
    ['cpus-per-task', node.cpus],
    [
      'gres',
      node.gpus === 0 ? null : ['gpu', slurm.gpuType, node.gpus].filter((one) => one !== null).join(':'),
    ],
    ['mem', node.memoryGB === null ? null : `${Math.ceil(node.memoryGB * 1024)}M`],
    ['time', timeLimit(job)],
    ['signal', resumes ? `B:USR2@${job.stopSeconds}` : null],
    ['array', work.kind === 'array' ? work.slice : null],
    ['chdir', job.workingDirectory],
    ['output', `${directory.replaceAll('%', '%%')}/logs/${log}`],
    ['open-mode', 'append'],
    ['export', EXPORTED.join(',')],
  ]
  const own = values.flatMap(([name, value]) => (value === null ? [] : [directive(name, `${value}`)]))
  const extra = slurm.extraLines.filter((line) => line.startsWith('#SBATCH'))
  for (const line of extra) refuseIncomplete(line)
  return [...own, '#SBATCH --requeue', ...extra]
}

/** Refuse a line that could take in those after it. */
function refuseIncomplete(line: string): void {
  refuseControl(line, 'cluster.slurm.extraLines')
  refuseUnclosed(line, 'cluster.slurm.extraLines')
}

/** Return a line of options. `sbatch` splits it at spaces and reads quotes and backslashes as a shell does. */
function directive(name: string, value: string): string {
  refuseControl(value, `sbatch --${name}`)
  const text = /^[A-Za-z0-9_./:=@%+,~-]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`
  return `#SBATCH --${name}=${text}`
}

/** Return the time limit as HH:MM:SS, in whole minutes as Slurm counts them. */
function timeLimit({ cluster: { timeHours }, stopSeconds, work }: ClusterJob): string | null {
  if (timeHours === null) return null
  const minutes = Math.ceil(timeHours * 60 - 1e-9)
  if (work.kind !== 'command' && minutes * 60 <= stopSeconds)
    throw new ConfigError(
      `cluster.timeHours: too short (expected more than ${stopSeconds} s for the last save, found ${Number((timeHours * 3600).toPrecision(6))} s)`,
      { hint: 'raise cluster.timeHours, or set cluster.slurm.stopSeconds' },
    )
  const two = (value: number): string => `${value}`.padStart(2, '0')
  return `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:00`
}

/** Variables that the script sets, or reads after it has set those of the configuration. */
const RESERVED = [
  /^(address|check|codes?|first|logs|own|port|rendezvous|requeued?|restart|result|run|signalled|state|step|task|work)$/,
  /^SLURM_(ARRAY_(JOB|TASK)_ID|CPUS_PER_TASK|JOB_ID|JOB_NODELIST|NODEID|RESTART_COUNT)$/,
]

function preparation(job: ClusterJob): string[] {
  const { cluster, directory, python } = job
  const reserved = Object.keys(cluster.environment).find((name) => RESERVED.some((form) => form.test(name)))
  if (reserved !== undefined)
    throw new ConfigError(`cluster.environment.${reserved}: reserved name (the job script uses it)`, {
      hint: `remove ${reserved}`,
    })
  const environment = { ...(python === null ? {} : { FREETUMOR_PYTHON: python }), ...cluster.environment }
  const lines = cluster.slurm.extraLines.filter((line) => !line.startsWith('#SBATCH'))
  for (const line of lines) refuseIncomplete(line)
  const file = cluster.environmentFile
  return [
    'set -u',
    '# --export limits the variables of this script; its steps get all variables of the script',
    'unset SLURM_EXPORT_ENV',
    `run=${shellWord(directory, 'run directory')}`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
    'restart=${SLURM_RESTART_COUNT:-0}',
    `logs=$run/logs/slurm-$SLURM_JOB_ID/restart-$restart`,
    'mkdir -p "$logs" || exit 4',
    '# Slurm repeats its signals: only the first one counts',
    'export FREETUMOR_REPEATED_SIGNALS=ignore',
    ...Object.entries(environment).map(
      ([name, value]) => `export ${name}=${shellWord(value, `cluster.environment.${name}`)}`,
    ),
    ...(file === null ? [] : [`set -a; . ${shellWord(file, 'cluster.environmentFile')} || exit 4; set +a`]),
    ...(cluster.modules.length === 0
      ? []
      : [
          'command -v module > /dev/null || . /etc/profile',
          `module load ${cluster.modules.map((name) => shellWord(name, 'cluster.modules')).join(' ')} || exit 4`,
        ]),
    ...lines,
    ...(job.nodes === 1 ? [] : rendezvous()),
    'export run restart logs',
  ]
}

/** This script runs on node 0. Jobs that share it have different ids; a port that is in use is skipped. */
function rendezvous(): string[] {
  return [
    '# rendezvous: the address of node 0, and a free port that follows from the job',
    'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
    `address=$(scontrol show node --oneliner "$first" | sed -n 's/.* NodeAddr=\\([^ ]*\\).*/\\1/p')`,
    'port=$((20000 + (SLURM_JOB_ID * 7 + restart) % 12000))',
    'while (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do port=$((port + 1)); done',
    'export rendezvous="$address:$port"',
  ]
}

/**
 * `srun` forwards USR2 to its tasks, but kills them at TERM: it runs in a session of its own, where only this script signals
 * it. `wait` returns at each signal, so it is repeated.
 */
const STEPS = [
  'step=',
  'signalled=',
  'pass_on() { signalled=$1; [ -z "$step" ] || kill -s USR2 "$step" 2> /dev/null; }',
  "trap 'pass_on USR2' USR2",
  "trap 'pass_on TERM' TERM",
  '',
  '# run_step NAME COMMAND: run a command on every node, and return its exit code',
  'run_step() {',
  '  [ -z "$signalled" ] || return 75',
  '  setsid srun --kill-on-bad-exit=1 --unbuffered --export=ALL --cpus-per-task="$SLURM_CPUS_PER_TASK" \\',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell expands it
  '    --output="${logs//%/%%}/$1.node-%n.log" bash -c "$2" &',
  '  step=$!',
  '  while kill -0 "$step" 2> /dev/null; do wait "$step"; done',
  '  wait "$step"',
  '  result=$?',
  '  step=',
  '  # a node that fails makes Slurm end the others: the first code counts that no signal explains',
  '  codes=$(cat "$logs/$1".code-* 2> /dev/null)',
  "  own=$(printf '%s\\n' \"$codes\" | grep -vxE '0|75|1[2-9][0-9]|' | head -n 1)",
  '  if [ -n "$own" ]; then return "$own"; fi',
  "  if printf '%s\\n' \"$codes\" | grep -qxE '75|140|143'; then return 75; fi",
  '  return "$result"',
  '}',
]

/**
 * A task passes signals on, because Slurm signals only it or also its child. Exit code 75 becomes 0: with
 * --kill-on-bad-exit, the first node to end would end the others while they save.
 */
function nodeStep(name: 'check' | 'work', command: string): string[] {
  return [
    `read -r -d '' ${name} << 'FREETUMOR_NODE'`,
    'task=',
    `trap '[ -z "$task" ] || kill -s USR2 "$task" 2> /dev/null' USR2 TERM`,
    `${command} &`,
    'task=$!',
    'while kill -0 "$task" 2> /dev/null; do wait "$task"; done',
    'wait "$task"',
    'code=$?',
    `echo "$code" > "$logs/${name}.code-$SLURM_NODEID"`,
    '[ "$code" -ne 75 ] || code=0',
    'exit "$code"',
    'FREETUMOR_NODE',
  ]
}

function conclusion(job: ClusterJob, isChecked: boolean): string[] {
  const { work, cluster } = job
  return [
    'code=0',
    ...(isChecked ? ['run_step check "$check" || code=$?'] : []),
    '[ "$code" -ne 0 ] || run_step work "$work" || code=$?',
    '',
    `state=$(scontrol show job --oneliner "$SLURM_JOB_ID" | sed -n 's/.* JobState=\\([A-Z_]*\\) .* Restarts=\\([0-9]*\\) .*/\\1 \\2/p')`,
    'requeue=false',
    'requeued=false',
    'case "$state" in',
    '  "RUNNING $restart")',
    '    # Slurm signalled and did not cancel this job: it was preempted, or is at its time limit',
    `    if [ "$code" -eq 75 ] && [ "$restart" -lt ${cluster.slurm.maxRequeues} ]; then requeue=true; fi`,
    ...(work.kind === 'training'
      ? [
          '    # `freetumor runs stop` is final: its reason is no signal, here or on another node that stopped first',
          `    if grep -qsx 75 "$logs/work.code-0" && ! grep -qE '"reason": "(SIG|stop on node )' "$run/exit.json"; then requeue=false; fi`,
        ]
      : []),
    '    requeued=$requeue ;;',
    '  "" | *" $restart") ;;',
    '  # Slurm lost this node and has requeued the job already',
    '  *) requeued=true ;;',
    'esac',
    historyLine(job),
    '[ "$requeue" = false ] || scontrol requeue "$SLURM_JOB_ID"',
    'exit "$code"',
  ]
}

/** Return the command that records the end of a start; a task of an array states its shard. */
function historyLine({ work }: ClusterJob): string {
  const isArray = work.kind === 'array'
  const id = isArray ? '$SLURM_ARRAY_JOB_ID' : '$SLURM_JOB_ID'
  const shard = isArray ? `,"shard":'"$((SLURM_ARRAY_TASK_ID + ${work.offset}))"'` : ''
  return [
    `printf '{"job":"%s","restart":%s,"exitCode":%s,"requeued":%s,"time":"%s"${shard}}\\n' \\`,
    `  "${id}" "$restart" "$code" "\${requeued:-false}" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >> "$run/${SUBMISSION_FOLDER}/${HISTORY_FILE}"`,
  ].join('\n')
}
