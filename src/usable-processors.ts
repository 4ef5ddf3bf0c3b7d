import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/** Files that state the limits of this process; tests name others. */
export interface LimitFiles {
  readonly membership: string
  readonly groups: string
}

const LINUX: LimitFiles = { membership: '/proc/self/cgroup', groups: '/sys/fs/cgroup' }

/**
 * Return how many processors this process may use, at least 1, and what limits them: a control group (`cpu.max`, as set by
 * containers, Kubernetes and Slurm), else the processors that the system gives it.
 */
export function usableProcessors(
  present: number = availableParallelism(),
  files: LimitFiles = LINUX,
): { readonly processors: number; readonly reason: string } {
  const quota = processorQuota(files)
  if (quota === null || quota >= present)
    return { processors: present, reason: `${present} processors without a smaller quota` }
  return {
    processors: Math.max(1, Math.floor(quota)),
    reason: `quota of ${Number(quota.toFixed(2))} of ${present} processors in the control group`,
  }
}

/**
 * Return the threads of each process of a node.
 * @param setting `runtime.threadsPerProcess`; `auto` shares the usable processors of the node among its processes
 */
export function threadsOf(
  {
    threadsPerProcess: setting,
    processesPerNode,
  }: { threadsPerProcess: number | 'auto'; processesPerNode: number },
  usable = usableProcessors(),
): { readonly threads: number; readonly reason: string | null } {
  if (setting !== 'auto') return { threads: setting, reason: null }
  const threads = Math.max(1, Math.floor(usable.processors / processesPerNode))
  return {
    threads,
    reason: `runtime.threadsPerProcess: auto is ${threads} (${usable.reason}, processes: ${processesPerNode})`,
  }
}

/** Return the smallest quota of the control groups of this process, in processors; null without one. */
function processorQuota({ membership, groups }: LimitFiles): number | null {
  const quotas = (textOf(membership) ?? '').split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (path === undefined) return []
    if (controllers === '') return parents(path).map((at) => quotaOf(textOf(join(groups, at, 'cpu.max'))))
    if (!controllers!.split(',').includes('cpu')) return []
    // version 1: a folder of its own, in which a container sees its own group as the root
    return ['cpu', controllers!].flatMap((folder) =>
      parents(path).map((at) => quotaOf(firstVersion(join(groups, folder, at)))),
    )
  })
  const found = quotas.filter((quota) => quota !== null)
  return found.length === 0 ? null : Math.min(...found)
}

/** Return a path and all its parents, up to the root. */
function parents(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '' && name !== '..')
  return names.map((_, at) => names.slice(0, names.length - at).join('/')).concat('')
}

/** Return quota and period of version 1 in the form of version 2. */
function firstVersion(folder: string): string | null {
  const [quota, period] = ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((name) => textOf(join(folder, name)))
  return quota === null || period === null ? null : `${quota!.trim()} ${period!.trim()}`
}

function quotaOf(text: string | null): number | null {
  const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(text ?? '') ?? []
  return Number(period) > 0 && Number(quota) > 0 ? Number(quota) / Number(period) : null
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
