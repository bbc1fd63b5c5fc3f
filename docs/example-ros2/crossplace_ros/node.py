"""The node: images and clouds in, poses out. All that it decides is in ``core``, which is tested without ROS."""

from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Float32

from benchmark.deploy.localizer import Localizer
from benchmark.deploy.weights import method_with_weights
from crossplace_ros.core import Core, Pose
from datasets.errors import CrossplaceError


class LocalizerNode(Node):
    """Subscribes to ``image`` and ``points``; publishes ``~/pose`` and ``~/probability``."""

    def __init__(self) -> None:
        super().__init__("crossplace_localizer")
        self.declare_parameter("map", "map")
        self.declare_parameter("method", "twin_layout")
        self.declare_parameter("checkpoint", "")
        self.declare_parameter("min_probability", 0.7)
        checkpoint = self._value("checkpoint")
        method = method_with_weights(self._value("method"), Path(checkpoint) if checkpoint else None)
        localizer = Localizer.load(Path(self._value("map")), method)
        self.core = Core(localizer, self._value("min_probability"))
        self.poses = self.create_publisher(PoseWithCovarianceStamped, "~/pose", 10)
        self.probabilities = self.create_publisher(Float32, "~/probability", 10)
        self.create_subscription(Image, "image", lambda m: self._answer(self.core.on_image, m), qos_profile_sensor_data)
        self.create_subscription(
            PointCloud2, "points", lambda m: self._answer(self.core.on_cloud, m), qos_profile_sensor_data
        )

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _answer(self, ask: Any, message: Any) -> None:
        try:
            found: Pose | None = ask(message)
        except CrossplaceError as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        if found is None:
            return
        answer = PoseWithCovarianceStamped()
        answer.header.stamp = message.header.stamp
        answer.header.frame_id = found.frame_id
        position, orientation = answer.pose.pose.position, answer.pose.pose.orientation
        position.x, position.y, position.z = found.position
        orientation.x, orientation.y, orientation.z, orientation.w = found.quaternion_xyzw
        answer.pose.covariance = list(found.covariance)
        self.poses.publish(answer)
        self.probabilities.publish(Float32(data=found.probability))


def main() -> None:
    """Run the node until it is stopped."""
    rclpy.init()
    node = LocalizerNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
