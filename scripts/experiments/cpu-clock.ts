import { readdirSync, readFileSync } from 'node:fs'

/** One line of /proc: what a process used itself, in clock ticks. */
export interface ProcessTicks {
  readonly pid: number
  readonly parent: number
  /** With the pid it names a process for good: pids come again. */
  readonly startTick: number
  readonly ticks: number
}

/** On Linux, whatever the kernel's own clock is. */
const TICKS_PER_SECOND = 100
const SAMPLE_MS = 250

/**
 * Processor seconds of this process and of all that it started, children of children too. Every family member is looked at four
 * times a second, so at most its last quarter of a second is missed; the kernel's own sum of ended children (cutime) would
 * leave out ranks whose launcher was ended before it waited for them.
 */
export class CpuClock {
  private readonly known = new Map<string, number>()
  private members = new Set<string>()
  private timer: NodeJS.Timeout | null = null

  constructor(
    private readonly read: () => readonly ProcessTicks[] = readProcesses,
    private readonly root = process.pid,
  ) {}

  start(): this {
    this.timer = setInterval(() => this.sample(), SAMPLE_MS)
    this.timer.unref()
    return this
  }

  stop(): void {
    if (this.timer) clearInterval(this.timer)
  }

  /** Return all processor seconds up to now. */
  seconds(): number {
    this.sample()
    return [...this.known.values()].reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND
  }

  /** Inspect the process family once. An orphan that was a member before stays one, and so do its children. */
  sample(): void {
    const all = this.read()
    const family = new Set<number>([this.root])
    for (const one of all) if (this.members.has(nameOf(one))) family.add(one.pid)
    for (let grown = true; grown; ) {
      grown = false
      for (const { pid, parent } of all)
        if (!family.has(pid) && family.has(parent)) {
          family.add(pid)
          grown = true
        }
    }
    const living = all.filter(({ pid }) => family.has(pid))
    for (const one of living) this.known.set(nameOf(one), one.ticks)
    this.members = new Set(living.map(nameOf))
  }
}

function nameOf({ pid, startTick }: ProcessTicks): string {
  return `${pid}/${startTick}`
}

/** Return every process of the machine; none where there is no /proc. */
export function readProcesses(): ProcessTicks[] {
  const names = safely(() => readdirSync('/proc'), [] as string[])
  return names
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const line = safely(() => readFileSync(`/proc/${name}/stat`, 'utf8'), null)
      return line === null ? [] : [parseStat(line)]
    })
}

/**
 * Parse `/proc/PID/stat`. The name stands in parentheses and may hold any character, so the fields start after the last
 * one.
 */
export function parseStat(line: string): ProcessTicks {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return {
    pid: Number(line.slice(0, line.indexOf(' '))),
    parent: Number(fields[1]),
    ticks: Number(fields[11]) + Number(fields[12]),
    startTick: Number(fields[19]),
  }
}

function safely<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch {
    return otherwise
  }
}
