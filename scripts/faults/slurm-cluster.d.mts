export interface SlurmOptions {
  readonly nodes?: number
  /** CPUs of each node; they need not exist. */
  readonly cpus?: number
  /** Time between the warning of a preempted job and its end. */
  readonly graceSeconds?: number
  /** Time between SIGTERM and SIGKILL of a cancelled job. */
  readonly killWaitSeconds?: number
  /** Time without an answer after which a node is down. */
  readonly downAfterSeconds?: number
  /** More lines of slurm.conf. */
  readonly extra?: readonly string[]
}

export interface SlurmCluster {
  /** Folder of the cluster, which all nodes see. */
  readonly folder: string
  /** Environment of the commands of Slurm. */
  readonly env: NodeJS.ProcessEnv
  readonly names: readonly string[]
  run(program: string, args?: readonly string[]): Promise<string>
  job(id: string): Promise<Readonly<Record<string, string>> | null>
  killNode(name: string): Promise<void>
  killSlurmd(name: string): Promise<void>
  startNode(name: string): void
  close(): Promise<void>
}

export function whatSlurmLacks(): string | null
export function startSlurm(options?: SlurmOptions): Promise<SlurmCluster>
export function logOf(cluster: SlurmCluster, name: string): string
