import type { QueueState } from './scheduler.js'

/** The program that sends manifests to a cluster of Kubernetes. */
export interface Kubectl {
  /**
   * Return whether the cluster holds an object.
   * @param object kind and name, such as `job/NAME`
   * @param namespace null: that of the current context
   * @throws EnvironmentError if no cluster answers, or if it has no such kind
   */
  exists(object: string, namespace: string | null): Promise<boolean>
  /**
   * Create the objects of a text. If the cluster refuses one, none is left.
   * @throws EnvironmentError with the words of the cluster
   */
  create(text: string, namespace: string | null): Promise<void>
  /**
   * Return the state of a TrainJob; that of a deleted one is `stopped`.
   * @param trainJob such as `trainjob/NAME`
   * @throws EnvironmentError if no cluster answers
   */
  state(trainJob: string, namespace: string | null): Promise<QueueState>
  /** Delete an object, and before it what it started. Its pods save first. */
  remove(object: string, namespace: string | null): Promise<void>
}
